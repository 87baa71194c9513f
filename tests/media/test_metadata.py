"""EXIF, XMP, IPTC, texts, comments and GeoTIFF tags: the same bytes in the output, in whatever format holds them."""

import contextlib
import dataclasses
import io
import json
import re
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, IptcImagePlugin

from i2i.core.errors import I2IError
from i2i.core.files import blake2b_of
from i2i.inference import workers
from i2i.inference.translate import settings_digest, translate, translate_bytes
from i2i.media import boxes, container, exif, ifd, iptc, png, uint16, xmp
from i2i.media.codec import WriteSettings
from i2i.media.metadata import Metadata
from tests.cli.program import i2i
from tests.media.test_codec import CASES, noise, same, soft

FORMATS = [".jpg", ".png", ".webp", ".tif", ".avif"]
PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    b'tiff:Orientation="6" exif:PixelXDimension="12" exif:PixelYDimension="8"><tiff:Make>Jos\xc3\xa9</tiff:Make>'
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)


def camera(order="<", orientation=1):
    """An EXIF block by hand, with a maker note, GPS and a thumbnail at its end; and the place of the note's bytes."""
    note, thumbnail = b"MAKER\0" + bytes(range(50)), b"\xff\xd8" + b"old" * 40 + b"\xff\xd9"

    def directory(entries, following=0):
        data = struct.pack(f"{order}H", len(entries))
        for tag, kind, count, value in entries:
            value = value if isinstance(value, bytes) else struct.pack(f"{order}{'HI'[kind == 4]}", value)
            data += struct.pack(f"{order}HHI", tag, kind, count) + value.ljust(4, b"\0")
        return data + struct.pack(f"{order}I", following)

    def place(at):
        return struct.pack(f"{order}I", at)

    texts = b"Jos\xc3\xa9\0" + b"\xa9 t\xeate\0" + b"\x8e\xa9\0\0"  # UTF-8, Latin 1, another
    first = 8 + 2 + 12 * 6 + 4
    inner, gps = first + len(texts), first + len(texts) + 2 + 12 * 3 + 4
    note_at = gps + 2 + 12 + 4
    second = note_at + len(note)
    block = {"<": b"II*\0", ">": b"MM\0*"}[order] + place(8)
    block += directory(
        [
            (270, 2, 4, place(first + 14) if order == ">" else b"\x8e\xa9\0\0"),
            (274, 3, 1, orientation),
            (315, 2, 6, place(first)),
            (33432, 2, 7, place(first + 6)),
            (0x8769, 4, 1, inner),
            (0x8825, 4, 1, gps),
        ],
        second,
    )
    block += texts + directory([(0x927C, 7, len(note), place(note_at)), (0xA002, 4, 1, 12), (0xA003, 3, 1, 8)])
    block += directory([(1, 2, 2, b"N\0")]) + note
    block += directory([(513, 4, 1, second + 30), (514, 4, 1, len(thumbnail))]) + thumbnail
    return block, note_at, note


def fields(path):
    """The EXIF fields of a file, read from its bytes: {tag: bytes}, those of the inner directories too."""
    data = path.read_bytes()
    if path.suffix != ".tif":
        with Image.open(path) as image:
            image.load()
            data = image.info["exif"].removeprefix(b"Exif\0\0")
    structure = ifd.Structure(ifd.reader_of(data))
    return flat(structure.directory(structure.first)), data


def flat(directory):
    result = {}
    for tag, field in directory.items():
        result |= flat(field.directory) if field.directory else {tag: field.value}
    return result


def write(path, image, metadata):
    image.save(path, **{"quality": 95} if path.suffix in (".jpg", ".webp", ".avif") else {})
    if path.suffix in (".webp", ".avif"):
        given = {"exif": metadata.exif, "xmp": metadata.xmp}
        image.save(path, **{name: value for name, value in given.items() if value}, lossless=True)
    else:
        path.write_bytes(container.inserted(path.read_bytes(), metadata, path.suffix))
    return path


# ---- EXIF ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", ["exif_utf8.jpg", "exif_utf8.png"])
def test_exif_texts_keep_their_bytes(tmp_path, name, suffix):
    assert translate(CASES / name, tmp_path / f"a{suffix}", same()).failed == []
    assert translate(tmp_path / f"a{suffix}", tmp_path / "b.tif", same()).failed == []
    assert translate(tmp_path / "b.tif", tmp_path / "c.jpg", same()).failed == []
    for made in (f"a{suffix}", "b.tif", "c.jpg"):
        found, _ = fields(tmp_path / made)
        assert (found[315], found[33432]) == (b"Jos\xc3\xa9\0", b"\xc2\xa9 2024\0")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_all_of_a_camera_is_kept_but_its_thumbnail(tmp_path, suffix, order):
    block, note_at, note = camera(order)
    write(tmp_path / "a.jpg", Image.fromarray(noise(8, 12, 3)), Metadata(exif=block))
    result = translate(tmp_path / "a.jpg", tmp_path / f"b{suffix}", same())
    assert (result.failed, result.outcomes[0].note) == ([], "")
    found, data = fields(tmp_path / f"b{suffix}")
    assert found[315] == b"Jos\xc3\xa9\0"
    assert found[33432] == b"\xa9 t\xeate\0"
    assert found[0x927C] == note
    assert found[1] == b"N\0"
    assert [int.from_bytes(found[tag], "little") for tag in (0xA002, 0xA003)] == [12, 8]
    assert b"oldold" not in data
    if suffix != ".tif":
        assert data[note_at : note_at + len(note)] == note  # offsets in it stay true
    if suffix in (".jpg", ".png", ".webp"):  # nothing else differs
        expected = block[: block.index(b"\xff\xd8old")]
        assert len(data) == len(expected)
        assert sum(a != b for a, b in zip(data, expected)) <= 40  # the link to the thumbnail, and its directory


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("source", [".jpg", ".png", ".webp"])
def test_what_is_turned_says_so_everywhere(tmp_path, source, suffix, order):
    array = soft(8, 12)
    write(tmp_path / f"a{source}", Image.fromarray(array), Metadata(exif=camera(order, 6)[0], xmp=PACKET))
    assert translate(tmp_path / f"a{source}", tmp_path / f"b{suffix}", same()).failed == []
    found, _ = fields(tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as made:
        made.load()
        assert made.size == (8, 12)
        assert made.getexif().get(274, 1) == 1
        assert np.abs(np.asarray(made).astype(int) - np.rot90(array, -1)).max() <= 12
        packet = made.info["xmp"]
    assert [int.from_bytes(found[tag], "little") for tag in (0xA002, 0xA003)] == [8, 12]
    assert b'tiff:Orientation="1"' in packet
    assert b'exif:PixelXDimension="8" exif:PixelYDimension="12"' in packet
    assert b"Jos\xc3\xa9" in packet


def test_one_bad_tag_costs_nothing_else(tmp_path):
    for suffix in FORMATS:
        assert translate(CASES / "exif_one_bad_tag.jpg", tmp_path / f"a{suffix}", same()).failed == []
        found, _ = fields(tmp_path / f"a{suffix}")
        assert (found[271], found[315]) == (b"maker\0", b"artist\0")


def test_an_orientation_of_a_wrong_type_is_none(tmp_path):
    block = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI4sI", 274, 2, 2, b"6\0\0\0", 0)
    for array, name in ((noise(8, 12, 3), "a.png"), (noise(8, 12, 3, dtype=np.uint16), "b.png")):
        data = uint16.encode_png(array, None) if array.dtype == np.uint16 else None
        if data:
            (tmp_path / name).write_bytes(container.inserted(data, Metadata(exif=block), ".png"))
        else:
            write(tmp_path / name, Image.fromarray(array), Metadata(exif=block))
        assert translate(tmp_path / name, tmp_path / f"o{name}", same()).failed == []
        assert Image.open(tmp_path / f"o{name}").size == (12, 8)
        assert Image.open(tmp_path / f"o{name}").getexif()[274] == 1


def test_exif_that_cannot_be_read_is_left_out_and_said(tmp_path):
    write(tmp_path / "a.jpg", Image.fromarray(noise(8, 8, 3)), Metadata(exif=b"II*\0\xff\xff\xff\xff", xmp=PACKET))
    result = translate(tmp_path / "a.jpg", tmp_path / "b.jpg", same())
    assert result.outcomes[0].note == "Its EXIF cannot be read and was left out."
    assert b"Jos\xc3\xa9" in Image.open(tmp_path / "b.jpg").info["xmp"]


def test_damaged_metadata_never_costs_the_image(tmp_path):
    random = np.random.default_rng(1)
    block, _, _ = camera(orientation=6)
    image = Image.fromarray(noise(8, 12, 3))
    for number in range(60):
        broken = bytearray(block)
        for place in random.integers(0, len(block), 4):
            broken[place] = random.integers(256)
        broken = bytes(broken[: random.integers(4, len(block))] if number % 3 == 0 else broken)
        texts = [(b"zTXt", b"Raw profile type iptc\0\0" + broken[:40]), (b"iTXt", broken[:60])]
        source = write(
            tmp_path / f"a{('.jpg', '.png')[number % 2]}", image, Metadata(exif=broken, resources=broken, texts=texts)
        )
        for suffix in (".jpg", ".tif", ".png", ".avif"):
            result = translate(source, tmp_path / f"b{suffix}", same(), overwrite=True)
            assert result.failed == []
            with Image.open(tmp_path / f"b{suffix}") as made:
                made.load()


def test_damaged_tags_of_a_tiff_are_a_sentence_at_most(tmp_path):
    block, _, _ = camera()
    write(tmp_path / "a.tif", Image.fromarray(noise(8, 12, 3)), Metadata(exif=block, xmp=PACKET))
    data = (tmp_path / "a.tif").read_bytes()
    random = np.random.default_rng(2)
    for _ in range(200):
        broken = bytearray(data)
        for place in random.integers(8 * 12 * 3, len(data), 3):
            broken[place] = random.integers(256)
        with contextlib.suppress(I2IError):  # and nothing else
            translate_bytes(bytes(broken), same())


# ---- XMP, IPTC, texts, comments ------------------------------------------------------------------------------------


def test_xmp_in_utf_16_spoils_no_gif(tmp_path):
    packet = PACKET.decode().encode("utf-16-le")
    write(tmp_path / "a.jpg", Image.fromarray(noise(8, 8, 3)), Metadata(xmp=packet))
    result = translate(tmp_path / "a.jpg", tmp_path / "b.gif", same())
    assert result.outcomes[0].note == "Left out, because .gif cannot hold it: XMP in UTF-16."
    assert Image.open(tmp_path / "b.gif").convert("RGB").size == (8, 8)
    translate(tmp_path / "a.jpg", tmp_path / "b.jpg", same())
    assert 'tiff:Orientation="1"'.encode("utf-16-le") in (tmp_path / "b.jpg").read_bytes()


def test_hostile_metadata_is_read_in_no_time(tmp_path):
    """Many fields that share one long value, lengths beyond the file, tags that never end."""
    value = 1 << 22
    fields = b"".join(struct.pack("<HHII", 40000 + i, 7, value, 8) for i in range(4000))
    head = b"II*\0" + struct.pack("<I", 8 + value)
    (tmp_path / "a.tif").write_bytes(head + bytes(value) + struct.pack("<H", 4000) + fields + bytes(4))
    structure = ifd.Structure(ifd.reader_of((tmp_path / "a.tif").read_bytes()))
    read = structure.directory(structure.first)
    assert sum(len(field.value) for field in read.values()) <= ifd.MOST_BYTES
    huge = head[:4] + struct.pack("<IHHHII", 8, 1, 40000, 7, 0xFFFFFFFF, 8)
    assert ifd.Structure(ifd.reader_of(huge)).directory(8) == {}
    for name in (b"<x:Thumbnails>", b"tiff:Orientation ", b"xmlns:tiff = "):
        assert xmp.changed(name * 200_000, (8, 8)) == name * 200_000
    assert xmp.changed(b"<x:Thumbnails/>" * 200_000, None) == b""
    assert iptc.cleaned(iptc.resources_of(b"") * 200_000) == iptc.resources_of(b"") * 200_000
    chunk = struct.pack(">I4s", 0xFFFFFFF0, b"iTXt")
    assert list(png.chunks(io.BytesIO(png.SIGNATURE + chunk + b"abc"), [b"iTXt"])) == []


@pytest.mark.parametrize("suffix", [*FORMATS, ".gif"])
def test_xmp_goes_from_format_to_format(tmp_path, suffix):
    with Image.open(CASES / "xmp.jpg") as image:
        packet = image.info["xmp"]
    assert translate(CASES / "xmp.jpg", tmp_path / f"a{suffix}", same()).failed == []
    assert packet in (tmp_path / f"a{suffix}").read_bytes()
    for other in (*FORMATS, ".gif"):
        assert translate(tmp_path / f"a{suffix}", tmp_path / f"b{other}", same()).failed == []
        assert packet in (tmp_path / f"b{other}").read_bytes()
        if other != ".gif":
            with Image.open(tmp_path / f"b{other}") as made:
                made.load()
                assert made.info["xmp"] == packet


def box(kind, data):
    return struct.pack(">I4s", len(data) + 8, kind) + data


def test_xmp_and_exif_in_boxes(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(noise(8, 8, 3)).save(buffer, "JPEG2000")
    data = buffer.getvalue() + box(b"uuid", boxes.UUID_XMP + PACKET)
    data += box(b"uuid", boxes.UUID_EXIF + camera()[0]) + box(b"uuid", b"other" * 9)
    (tmp_path / "a.jp2").write_bytes(data)
    assert translate(tmp_path / "a.jp2", tmp_path / "b.png", same()).failed == []
    assert b"Jos\xc3\xa9" in Image.open(tmp_path / "b.png").info["xmp"]
    assert fields(tmp_path / "b.png")[0][315] == b"Jos\xc3\xa9\0"
    for end in range(len(buffer.getvalue()), len(data), 7):
        (tmp_path / "a.jp2").write_bytes(data[:end])
        assert translate(tmp_path / "a.jp2", tmp_path / "b.png", same(), overwrite=True).failed == []


@pytest.mark.parametrize("suffix", [".heic", ".jxl"])
def test_metadata_of_the_optional_formats(tmp_path, suffix):
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    else:
        pytest.importorskip("pillow_jxl")
    exif_block, _, note = camera()
    options = {"xmp": PACKET} if suffix == ".heic" else {"use_container": True}
    Image.fromarray(noise(16, 16, 3)).save(tmp_path / f"a{suffix}", exif=exif_block, **options)
    if suffix == ".jxl":
        with (tmp_path / "a.jxl").open("ab") as file:
            file.write(box(b"xml ", PACKET))
    for other in FORMATS:
        assert translate(tmp_path / f"a{suffix}", tmp_path / f"b{other}", same()).failed == []
        found, _ = fields(tmp_path / f"b{other}")
        assert (found[315], found[0x927C]) == (b"Jos\xc3\xa9\0", note)
        assert b"Jos\xc3\xa9</tiff:Make>" in (tmp_path / f"b{other}").read_bytes()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'<a tiff:Orientation="8">', b'<a tiff:Orientation="1">'),
        (b"<tiff:Orientation>3</tiff:Orientation>", b"<tiff:Orientation>1</tiff:Orientation>"),
        (b"<a xmlns:t='http://ns.adobe.com/tiff/1.0/' t:Orientation='6'/>",
         b"<a xmlns:t='http://ns.adobe.com/tiff/1.0/' t:Orientation='1'/>"),
        (b"<a>my:Orientation=\"6\"</a>", b"<a>my:Orientation=\"6\"</a>"),
        (b"<xmp:Thumbnails><rdf:Alt><rdf:li>abc</rdf:li></rdf:Alt></xmp:Thumbnails><b/>", b"<b/>"),
        ('<a tiff:Orientation="8">\u00e9'.encode("utf-16-le"), '<a tiff:Orientation="1">\u00e9'.encode("utf-16-le")),
    ],
)  # fmt: skip
def test_what_xmp_says_of_the_pixels(before, after):
    assert xmp.changed(before, None) == after
    assert xmp.changed(after, None) == after


def test_a_long_packet_of_jpeg_stays_whole(tmp_path):
    more = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + b"rest" * 999
    write(tmp_path / "a.jpg", Image.fromarray(noise(8, 8, 3)), Metadata(xmp=PACKET, xmp_more=[more, more]))
    translate(tmp_path / "a.jpg", tmp_path / "b.jpg", same())
    assert (tmp_path / "b.jpg").read_bytes().count(more) == 2
    result = translate(tmp_path / "a.jpg", tmp_path / "b.png", same())
    assert result.outcomes[0].note == "Left out, because .png cannot hold it: a part of XMP."


def test_iptc_goes_from_format_to_format(tmp_path):
    texts = b"\x1c\x01\x5a\0\x03\x1b%G" + b"\x1c\x02\x05\0\x05t\xc3\xaate" + b"\x1c\x02\x50\0\x06author"
    thumbnail = b"8BIM\x04\x0c\0\0\0\0\0\x03old\0"
    resources = b"8BIM\x03\xed\0\0\0\0\0\x10" + bytes(16) + thumbnail + iptc.resources_of(texts)
    write(tmp_path / "a.jpg", Image.fromarray(noise(8, 8, 3)), Metadata(resources=resources))
    for one, other in (("a.jpg", "b.tif"), ("b.tif", "c.png"), ("c.png", "d.jpg"), ("a.jpg", "e.jpg")):
        assert translate(tmp_path / one, tmp_path / other, same()).failed == []
    for name in ("b.tif", "d.jpg", "e.jpg"):
        with Image.open(tmp_path / name) as made:
            found = IptcImagePlugin.getiptcinfo(made)
            assert (found[(2, 5)], found[(2, 80)]) == (b"t\xc3\xaate", b"author")
    assert b"old" not in (tmp_path / "d.jpg").read_bytes()
    assert resources.replace(thumbnail, b"") in (tmp_path / "e.jpg").read_bytes()
    with tifffile.TiffWriter(tmp_path / "f.tif", byteorder=">") as file:  # the texts alone, as numbers
        whole = texts + bytes(-len(texts) % 4)
        file.write(noise(8, 8, 3), photometric="rgb", extratags=[(33723, "B", len(whole), whole, True)])
    translate(tmp_path / "f.tif", tmp_path / "g.jpg", same())
    assert IptcImagePlugin.getiptcinfo(Image.open(tmp_path / "g.jpg"))[(2, 80)] == b"author"


def texts_of(path):
    with path.open("rb") as file:
        return list(png.chunks(file, (b"tEXt", b"zTXt", b"iTXt")))


def test_texts_of_png(tmp_path):
    translate(CASES / "text.png", tmp_path / "b.png", same())
    assert texts_of(tmp_path / "b.png") == texts_of(CASES / "text.png")
    assert Image.open(tmp_path / "b.png").info["Title"] == "t\u00eate"
    given = [(b"tEXt", b"Comment\0t\xeate"), (b"zTXt", b"Note\0\0x\x9c\x03\0\0\0\0\x01"), (b"tEXt", b"Author\0me")]
    deep = container.inserted(uint16.encode_png(noise(8, 8, 3, dtype=np.uint16), None), Metadata(texts=given), ".png")
    (tmp_path / "c.png").write_bytes(deep)
    translate(tmp_path / "c.png", tmp_path / "d.png", same())
    assert texts_of(tmp_path / "d.png") == given
    assert uint16.is_color(Image.open(tmp_path / "d.png"))
    for suffix in (".jpg", ".gif"):
        translate(tmp_path / "c.png", tmp_path / f"e{suffix}", same())
        assert Image.open(tmp_path / f"e{suffix}").info["comment"] == "t\u00eate".encode()


def test_texts_behind_the_pixels_and_raw_profiles(tmp_path):
    block, _, _ = camera(orientation=6)
    buffer = io.BytesIO()
    Image.fromarray(noise(8, 12, 3)).save(buffer, "PNG")
    digits = f"\nexif\n{len(block) + 6:8}\n{(b'Exif' + bytes(2) + block).hex()}\n".encode()
    chunk = png.chunk(b"tEXt", b"Raw profile type exif\0" + digits) + png.chunk(b"tEXt", b"Author\0late")
    data = buffer.getvalue()
    (tmp_path / "a.png").write_bytes(data[:-12] + chunk + data[-12:])
    translate(tmp_path / "a.png", tmp_path / "b.png", same())
    found, _ = fields(tmp_path / "b.png")
    assert found[315] == b"Jos\xc3\xa9\0"
    assert Image.open(tmp_path / "b.png").size == (8, 12)
    assert texts_of(tmp_path / "b.png") == [(b"tEXt", b"Author\0late")]


@pytest.mark.parametrize("source", [".jpg", ".png", ".gif"])
@pytest.mark.parametrize("comment", [b"said", "t\u00eate".encode(), b"t\xeate"])
def test_comments(tmp_path, source, comment):
    image = Image.fromarray(noise(8, 8, 3))
    if source == ".png":
        write(tmp_path / "a.png", image, Metadata(comment=comment))
    else:
        image.save(tmp_path / f"a{source}", comment=comment)
    for suffix in (".jpg", ".gif"):
        translate(tmp_path / f"a{source}", tmp_path / f"b{suffix}", same())
        expected = "t\u00eate".encode() if source == ".png" and comment == b"t\xeate" else comment
        assert Image.open(tmp_path / f"b{suffix}").info["comment"] == expected
    translate(tmp_path / f"a{source}", tmp_path / "b.png", same())
    text = Image.open(tmp_path / "b.png").info["Comment"]
    assert text == ("t\u00eate" if comment == b"t\xeate" else comment.decode())


# ---- TIFF ----------------------------------------------------------------------------------------------------------

GEO = (33550, 33922, 34735)


def test_geotiff_tags_stay_where_the_size_does(tmp_path):
    with Image.open(CASES / "geo.tif") as image:
        before = {tag: image.tag_v2[tag] for tag in GEO}
    assert translate(CASES / "geo.tif", tmp_path / "b.tif", same()).outcomes[0].note == ""
    with Image.open(tmp_path / "b.tif") as made:
        assert {tag: made.tag_v2[tag] for tag in GEO} == before
    result = translate(CASES / "geo.tif", tmp_path / "c.tif", same(), size=4)
    assert result.outcomes[0].note == "Its GeoTIFF tags were left out, because the size of the image has changed."
    assert not set(GEO) & set(Image.open(tmp_path / "c.tif").tag_v2)
    result = translate(CASES / "geo.tif", tmp_path / "d.png", same())
    assert result.outcomes[0].note == "Left out, because .png cannot hold it: GeoTIFF tags."


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}, {"bigtiff": True, "byteorder": ">"}])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_geotiff_tags_of_every_page_and_kind(tmp_path, options, dtype):
    with tifffile.TiffWriter(tmp_path / "a.tif", **options) as file:
        for number in range(3):
            tags = [
                (33550, "d", 3, (10.0 + number, 10.0, 0.0), True), (34735, "H", 4, (1, 1, 0, number), True),
                (34737, "s", 0, "UTM zone|", True), (315, "s", 0, f"page {number}", True),
                (50844, "d", 2, (1.5, 2.5), True), (65000, "I", 1, 12345, True), (65001, "s", 0, "private", True),
            ]  # fmt: skip
            file.write(noise(8, 10, 3, dtype=dtype), photometric="rgb", extratags=tags if number != 1 else ())
    assert translate(tmp_path / "a.tif", tmp_path / "b.tif", same()).failed == []
    with tifffile.TiffFile(tmp_path / "b.tif") as made:
        assert len(made.pages) == 3
        for number, page in enumerate(made.pages):
            assert np.abs(page.asarray().astype(int) - noise(8, 10, 3, dtype=dtype)).max() <= 1
            if number == 1:
                assert 33550 not in page.tags
                continue
            assert page.tags[33550].value == (10.0 + number, 10.0, 0.0)
            assert page.tags[34735].value == (1, 1, 0, number)
            assert page.tags[34737].value == "UTM zone|"
            assert page.tags[315].value == f"page {number}"
            assert page.tags[50844].value == (1.5, 2.5)
            assert page.tags[65001].value == "private"
            assert 65000 not in page.tags  # it might be a place in the old file
    result = translate(tmp_path / "a.tif", tmp_path / "c.tif", same(), size=(5, 4))
    assert "GeoTIFF" in result.outcomes[0].note


def test_geotiff_tags_of_an_image_that_is_turned_are_left_out(tmp_path):
    tags = [(33550, "d", 3, (10.0, 10.0, 0.0), True), (274, "H", 1, 3, True)]
    tifffile.imwrite(tmp_path / "a.tif", noise(8, 10, 3), photometric="rgb", extratags=tags)
    result = translate(tmp_path / "a.tif", tmp_path / "b.tif", same())
    assert result.outcomes[0].note == "Its GeoTIFF tags were left out, because the image was turned upright."
    with tifffile.TiffFile(tmp_path / "b.tif") as made:
        assert 33550 not in made.pages[0].tags


def test_metadata_leaves_the_compression_of_a_tiff(tmp_path):
    write(tmp_path / "a.jpg", Image.new("RGB", (200, 200)), Metadata(exif=camera()[0], xmp=PACKET))
    translate(tmp_path / "a.jpg", tmp_path / "b.tif", same())
    assert (tmp_path / "b.tif").stat().st_size < 5000
    with tifffile.TiffFile(tmp_path / "b.tif") as made:
        assert made.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert made.pages[0].asarray().shape == (200, 200, 3)


def test_descriptions_of_a_files_layout_are_left_out(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(8, 10, 3), photometric="rgb")  # writes {"shape": [8, 10, 3]}
    translate(tmp_path / "a.tif", tmp_path / "b.tif", same(), size=4)
    assert tifffile.imread(tmp_path / "b.tif").shape == (4, 5, 3)


# ---- leaving it out ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [*FORMATS, ".gif"])
def test_strip_leaves_resolution_and_profile(tmp_path, suffix):
    block, _, _ = camera(orientation=6)
    given = Metadata(exif=block, xmp=PACKET, resources=iptc.resources_of(b"\x1c\x02\x05\0\x02ab"), comment=b"said")
    write(tmp_path / "a.jpg", Image.fromarray(noise(8, 12, 3)), given)
    result = translate(tmp_path / "a.jpg", tmp_path / f"b{suffix}", same(), metadata="strip")
    assert (result.failed, result.outcomes[0].note) == ([], "")
    data = (tmp_path / f"b{suffix}").read_bytes()
    for trace in (b"Jos\xc3\xa9", b"MAKER", b"8BIM", b"said", b"xmpmeta", b"old"):
        assert trace not in data
    assert Image.open(tmp_path / f"b{suffix}").size == (8, 12)


def test_what_an_output_cannot_hold_is_said(tmp_path):
    write(tmp_path / "a.jpg", Image.fromarray(noise(8, 8, 3)), Metadata(exif=camera()[0], xmp=PACKET, comment=b"x"))
    note = translate(tmp_path / "a.jpg", tmp_path / "b.bmp", same()).outcomes[0].note
    assert note == "Left out, because .bmp cannot hold it: EXIF, XMP, a comment."
    long = Metadata(xmp=PACKET + b" " * 70_000)
    write(tmp_path / "c.png", Image.fromarray(noise(8, 8, 3)), long)
    note = translate(tmp_path / "c.png", tmp_path / "d.jpg", same()).outcomes[0].note
    assert note == "Its XMP is longer than a JPEG file can hold (64 KB), and was left out."
    result = translate(tmp_path / "c.png", tmp_path / "e.png", same())
    assert result.outcomes[0].note == ""
    assert len(Image.open(tmp_path / "e.png").info["xmp"]) > 70_000


def test_the_tags_that_are_kept_say_nothing_of_how_pixels_are_stored():
    assert not set(exif.LAYOUT) & {*exif.GEO, *exif.IN_EXIF}
    assert re.fullmatch(rb"8BIM\x04\x04.*", iptc.resources_of(b"abc"), re.DOTALL)


# ---- what the user reads -------------------------------------------------------------------------------------------


def test_a_format_that_nobody_asked_for_is_said(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.gif", "b.gif", "c.ppm", "d.jpg"):
        Image.fromarray(noise(8, 8, 3)).save(tmp_path / "in" / name)
    why = "Written as PNG, because GIF has 256 colors, and the image is no animation (--format gif keeps GIF)."
    notes = [o.note for o in translate(tmp_path / "in", tmp_path / "out", same()).outcomes]
    assert notes == [why, why, "Written as PNG, because .ppm is not written.", ""]
    for output, options in (("x.png", {}), ("gif/", {"format": "gif"}), ("png/", {"format": "png"})):
        result = translate(tmp_path / "in" / "a.gif", f"{tmp_path}/{output}", same(), **options)
        assert [o.note for o in result.outcomes] == [""]
    _, err = i2i("translate", tmp_path / "in", "-o", tmp_path / "again", "--model", "pix2pix_emoji")
    assert f"note: {tmp_path}/in/a.gif and 1 more: {why}\n" in err


def test_the_program_strips_metadata(tmp_path):
    for name, words in (("a", []), ("b", ["--metadata", "strip"])):
        target = tmp_path / f"{name}.jpg"
        i2i("translate", CASES / "exif_utf8.jpg", "-o", target, "--model", "pix2pix_emoji", *words)
        assert (b"Jos" in target.read_bytes()) == (name == "a")
    _, err = i2i("translate", CASES / "xmp.jpg", "-o", tmp_path, "--model", "pix2pix_emoji", "--metadata", "no", code=1)
    assert "metadata is 'no'. Allowed: keep, strip." in err


def test_records_of_older_versions_stay_valid():
    """They do not know the option, so its default must not change the digest of the settings."""
    work = workers.Work(same())
    whole = {"size", "quality", "subsampling", "alpha", "profile", "max_pixels"}
    assert settings_digest(work) != settings_digest(workers.Work(same(), WriteSettings(metadata="strip")))
    assert set(dataclasses.asdict(work.write)) == {*whole, "metadata"}
    facts = {
        "weights": work.digest(),
        "options": {name: getattr(work.write, name) for name in dataclasses.asdict(work.write) if name in whole},
        "tiling": dataclasses.asdict(work.tiling), "precision": "fp32", "direction": "AtoB", "statistics": "auto",
    }  # fmt: skip
    assert settings_digest(work) == blake2b_of(json.dumps(facts, sort_keys=True).encode())


def test_fields_are_added_to_a_file_of_large_profiles(monkeypatch):
    """The limit on values that are read guards against hostile inputs; outputs keep all their fields."""
    profile = bytes(range(256)) * 4
    buffer = io.BytesIO()
    pages = [Image.new("RGB", (4, 4), (i, 0, 0)) for i in range(5)]
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:], icc_profile=profile)
    monkeypatch.setattr(ifd, "MOST_BYTES", 2 * len(profile))

    more = [{ifd.XMP: ifd.Field(ifd.BYTE, 5, b"<xmp>")}] * 5
    with Image.open(io.BytesIO(ifd.with_fields(buffer.getvalue(), more))) as image:
        for number in range(5):
            image.seek(number)
            assert image.tag_v2[34675] == profile
            assert image.getpixel((0, 0)) == (number, 0, 0)
