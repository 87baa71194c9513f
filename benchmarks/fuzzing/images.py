"""Image files, as translate, the library, training, `i2i data check` and the web page read them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

import i2i
from fuzzing.mutate import mutate
from fuzzing.target import Case, Target, removed, rewritten
from i2i.core.errors import I2IError
from i2i.core.optional import is_installed
from i2i.data import checks, decode
from i2i.data.layouts import LEFT, WHOLE, Source
from i2i.inference.translate import translate_bytes
from i2i.media.codec import WriteSettings
from i2i.models.load import translator_of
from i2i.nets.resnet import ResNet

MAX_PIXELS = 2_000_000  # of the ways through a network, as --max-pixels would say; a larger one would only take longer
WAYS = ("page", "page", "library", "translate", "train", "pairs", "check")
SIDE = 24


class Images(Target):
    """Images of all formats that are read, through every function that reads them."""

    memory = 3072  # an image of 100 megapixels, the limit, in several copies

    def __init__(self) -> None:
        super().__init__()
        self.seeds = seeds()
        self.folder = Path("in")
        self.folder.mkdir()
        network = ResNet(3, 3, blocks=0, width=2)
        self.translator = translator_of({"G": network.eval()}, {})
        self.settings = WriteSettings(max_pixels=MAX_PIXELS)

    def case(self, random: Random) -> Case:
        suffix, data = random.choice(self.seeds)
        others = [other for name, other in self.seeds if name == suffix]
        if random.random() < 0.05:
            others = [other for _, other in self.seeds]
        changed = mutate(data, random, others)
        if data[:4] == b"\x89PNG" and random.random() < 0.8:
            changed = with_checksums(changed)
        return Case(f"{random.choice(WAYS)}-{suffix}", changed)

    def run(self, case: Case) -> None:
        way, suffix = case.kind.split("-")
        if way == "page":
            translate_bytes(case.data, self.translator, self.settings)
            return
        removed(*self.folder.iterdir())
        path = rewritten(self.folder / f"image.{suffix}", case.data)
        if way == "library":
            with open(path, "rb") as file:
                self.translator(file, size=(32, 32))
        elif way == "translate":
            result = i2i.translate(path, "out", self.translator, max_pixels=MAX_PIXELS, overwrite=True)
            for _, reason in result.failed:
                if reason.startswith("Unexpected"):
                    raise AssertionError(reason)
                raise I2IError(reason)
        elif way == "train":
            source = Source(path, WHOLE)
            decode.fast(source, 3, lambda width, height: (16, 16))
            decode.exact(source, 1, lambda width, height: (16, 16))
        elif way == "pairs":
            decode.fast_pair(path, (1, 3), lambda width, height: (16, 16))
            decode.exact(Source(path, LEFT), 3, lambda width, height: (16, 16))
        else:
            found = checks.check(self.folder)
            if any(finding.kind == "unreadable" for finding in found):
                raise I2IError("unreadable")


def seeds() -> list[tuple[str, bytes]]:
    """(suffix, content) of small images of all formats, bit depths and frames."""
    numbers = np.random.default_rng(0)
    rgb = Image.fromarray(numbers.integers(0, 256, (SIDE, SIDE, 3), np.uint8))
    rgba = Image.fromarray(numbers.integers(0, 256, (SIDE, SIDE, 4), np.uint8))
    gray, deep = rgb.convert("L"), Image.fromarray(numbers.integers(0, 65536, (SIDE, SIDE)).astype(np.uint16))
    frames: dict[str, Any] = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)], "duration": 50}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[274], exif[271], exif[0x8769] = 6, "maker", {36867: "2026:01:01 00:00:00", 37510: b"ASCII\0\0\0comment"}
    texts = PngImagePlugin.PngInfo()
    texts.add_text("a", "text")
    texts.add_itxt("b", "long " * 99, zip=True)
    wanted: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("png", rgb, {"icc_profile": profile, "exif": exif, "pnginfo": texts, "dpi": (72, 72)}),
        *(("png", rgb.convert(mode), {}) for mode in ("1", "L", "LA", "P", "RGBA")),
        ("png", deep, {"transparency": 0}),
        ("png", rgb.quantize(5), {"transparency": 1}),
        ("png", rgba, frames),
        ("jpg", rgb, {"exif": exif, "icc_profile": profile, "comment": b"words"}),
        ("jpg", rgb, {"progressive": True, "subsampling": 2}),
        *(("jpg", rgb.convert(mode), {}) for mode in ("L", "CMYK")),
        *(
            ("tif", rgb, {"compression": name})
            for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
        ),
        ("tif", rgb.convert("1"), {"compression": "group4"}),
        *(
            ("tif", image, {})
            for image in (rgba, gray, deep, rgb.convert("CMYK"), rgb.convert("LAB"), rgb.convert("F"))
        ),
        ("tif", rgb, {"save_all": True, "append_images": [gray], "icc_profile": profile, "description": "words"}),
        ("webp", rgb, {"exif": exif, "icc_profile": profile}),
        ("webp", rgba, {"lossless": True}),
        ("webp", rgba, frames),
        ("gif", rgb, frames),
        ("gif", gray, {"transparency": 3}),
        *(("bmp", rgb.convert(mode), {}) for mode in ("1", "P", "RGB", "RGBA")),
        *(("ppm", rgb.convert(mode), {}) for mode in ("1", "L", "RGB")),
        ("ppm", deep, {}),
        ("tga", rgb, {"compression": "tga_rle"}),
        ("tga", rgba, {}),
        ("jp2", rgb, {}),
        ("avif", rgb, {"exif": exif, "speed": 10}),
        ("avif", rgb, {**frames, "speed": 10}),
        ("avif", rgba, {"speed": 10}),
    ]
    if is_installed("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
        wanted.append(("heic", rgb, {"exif": exif.tobytes()}))
    if is_installed("pillow_jxl"):
        import pillow_jxl  # noqa: F401

        wanted.append(("jxl", rgb, {}))
    found = [(suffix, saved(image, suffix, options)) for suffix, image, options in wanted]
    for options in ({"planarconfig": "separate"}, {"bigtiff": True}, {"tile": (16, 16)}, {"compression": "zlib"}):
        stream = io.BytesIO()
        array = numbers.integers(0, 65536, (3, SIDE, SIDE) if "planarconfig" in options else (SIDE, SIDE, 3))
        tifffile.imwrite(stream, array.astype(np.uint16), photometric="rgb", **options)
        found.append(("tif", stream.getvalue()))
    return found


def saved(image: Image.Image, suffix: str, options: dict[str, Any]) -> bytes:
    """An image as a file of that suffix."""
    stream = io.BytesIO()
    image.save(stream, format=Image.registered_extensions()[f".{suffix}"], **options)
    return stream.getvalue()


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have the checksums that their content asks for, so that readers go on to the content."""
    array = bytearray(data)
    at = 8
    while at + 12 <= len(array):
        (length,) = struct.unpack_from(">I", array, at)
        end = at + 8 + length
        if end + 4 > len(array):
            break
        struct.pack_into(">I", array, end, zlib.crc32(array[at + 4 : end]))
        at = end + 4
    return bytes(array)
