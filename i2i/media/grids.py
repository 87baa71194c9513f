"""Sample grids (titled columns, a row an image) and the video made of them."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from i2i.media.images import to_pil, to_uint8

LEAST, MOST = 128, 512  # pixels, longer side of a cell; smaller images are enlarged pixel by pixel
ROWS = 64  # images of a column, at most
GAP, PAD = 4, 12  # pixels between images; around them and between blocks
INK, MAT = (222, 224, 228), (24, 26, 30)
LANDSCAPE = 1.45  # the aspect ratio that blocks of rows are wrapped for


def draw_grid(columns: dict[str, Tensor]) -> Image.Image:
    """The grid of {title: images [B, C, H, W] in [-1, 1]}, RGB.

    Titles stand above the columns, rows are images; many rows continue in a block beside. C is 1 (grey), 3 or 4
    (transparency, shown on a checkerboard); of other counts the first channel, or the first three, are shown. Columns
    may differ in size: all fill cells of one size. A column with fewer images leaves cells empty.
    """
    columns = {title: pictures[:ROWS] for title, pictures in columns.items() if pictures.ndim == 4 and len(pictures)}
    if not columns:
        return Image.new("RGB", (LEAST, LEAST), MAT)
    high, wide = _cell(list(columns.values()))
    font = ImageFont.load_default(max(13, min(40, wide // 9)))
    top = PAD + round(font.size * 1.5) if isinstance(font, ImageFont.FreeTypeFont) else PAD + 18
    rows, n = max(map(len, columns.values())), len(columns)
    blocks = min(range(1, rows + 1), key=lambda b: _unlike(b, rows, n, wide, high, top))
    deep = math.ceil(rows / blocks)
    block = n * (wide + GAP) - GAP
    sheet = Image.new("RGB", (PAD + blocks * (block + PAD), top + deep * (high + GAP) - GAP + PAD), MAT)
    pen = ImageDraw.Draw(sheet)
    for i, (title, pictures) in enumerate(columns.items()):
        for b in range(blocks if n > 1 else 1):
            left = PAD + b * (block + PAD) + i * (wide + GAP)
            room = wide if n > 1 else sheet.width - 2 * PAD
            pen.text((left, PAD // 2 + 2), _fitted(title.strip(), font, room), fill=INK, font=font)
        for j, picture in enumerate(pictures):
            b, row = divmod(j, deep)
            image = _scaled(to_rgb(picture), wide, high)
            left = PAD + b * (block + PAD) + i * (wide + GAP) + (wide - image.width) // 2
            sheet.paste(image, (left, top + row * (high + GAP) + (high - image.height) // 2))
    return sheet


def to_rgb(picture: Tensor) -> Image.Image:
    """[C, H, W] in [-1, 1] as an RGB image; NaN is shown black."""
    c = picture.shape[0]
    shown = picture if c in (1, 3, 4) else picture[: 3 if c > 4 else 1]
    image = to_pil(to_uint8(torch.nan_to_num(shown.float(), nan=-1.0)))
    if image.mode != "RGBA":
        return image.convert("RGB")
    y, x = np.indices((image.height, image.width)) // 8
    board = np.where((x + y) % 2, 153, 204).astype(np.uint8)
    paper = Image.fromarray(board).convert("RGBA")
    return Image.alpha_composite(paper, image).convert("RGB")


def _cell(columns: list[Tensor]) -> tuple[int, int]:
    """Height and width of a cell: the largest image, a whole number of times enlarged to LEAST, or cut to MOST."""
    high, wide = max(c.shape[2] for c in columns), max(c.shape[3] for c in columns)
    longer = max(high, wide)
    factor = max(1, round(LEAST / longer)) if longer <= MOST else MOST / longer
    if longer * factor < LEAST * 0.75:
        factor += 1
    return max(1, round(high * factor)), max(1, round(wide * factor))


def _scaled(image: Image.Image, wide: int, high: int) -> Image.Image:
    """The image as large as fits into wide x high, its pixels kept square when it grows."""
    factor = min(wide / image.width, high / image.height)
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    if size == image.size:
        return image
    return image.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS)


def _unlike(blocks: int, rows: int, n: int, wide: int, high: int, top: int) -> float:
    """How far a layout is from LANDSCAPE, and its share of empty cells."""
    deep = math.ceil(rows / blocks)
    aspect = blocks * (n * (wide + GAP) + PAD) / (top + deep * (high + GAP))
    return abs(math.log(aspect / LANDSCAPE)) + 4 * (1 - rows / (blocks * deep))


def _fitted(title: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: int) -> str:
    """The title, cut so that it fits into `room` pixels."""
    title = " ".join(title.split())
    if font.getlength(title) <= room:
        return title
    while title and font.getlength(title + "...") > room:
        title = title[:-1]
    return title + "..."


def thumbnail(path: Path, wide: int = 1200, high: int = 1000) -> bytes:
    """A grid as JPEG that fits into wide x high pixels. Raises OSError if the file is missing or damaged."""
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((wide, high), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=82, subsampling=1, optimize=True)
    return out.getvalue()


def timelapse(paths: Sequence[Path], most: int = 2_500_000, wide: int = 640) -> bytes:
    """The grids as an endless GIF of at most `most` bytes: frames shrink from `wide` pixels until they fit.

    Under 160 pixels they shrink no more. The last frame stays a while. Raises OSError if a file is not readable."""
    frames: list[Image.Image] = []
    for path in paths:
        with Image.open(path) as image:
            frame = image.convert("RGB")
        if frames:
            frame = frame.resize(frames[0].size, Image.Resampling.LANCZOS)
        else:
            frame.thumbnail((wide, wide), Image.Resampling.LANCZOS)
        frames.append(frame)
    while True:
        made = _gif(frames)
        width, height = frames[0].size
        if len(made) <= most or width <= 160:
            return made
        shrink = max(0.5, min(0.85, math.sqrt(most / len(made))))
        size = round(width * shrink), max(1, round(height * shrink))
        frames = [f.resize(size, Image.Resampling.LANCZOS) for f in frames]


def _gif(frames: list[Image.Image]) -> bytes:
    """One palette for all frames and no dithering: what stands still costs nothing."""
    shown = [frames[i] for i in sorted({0, len(frames) // 2, len(frames) - 1})]
    mosaic = Image.new("RGB", (shown[0].width, sum(f.height for f in shown)))
    for i, frame in enumerate(shown):
        mosaic.paste(frame, (0, i * frame.height))
    palette = mosaic.quantize(255, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    flat = [f.quantize(palette=palette, dither=Image.Dither.NONE) for f in frames]
    times = [160] * (len(flat) - 1) + [1600]
    out = io.BytesIO()
    flat[0].save(out, "GIF", save_all=True, append_images=flat[1:], duration=times, loop=0, optimize=False)
    return out.getvalue()
