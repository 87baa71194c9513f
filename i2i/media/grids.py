"""Many images in one: grids with titled columns, plain contact sheets, and animated GIFs."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from i2i.core.files import atomic_write
from i2i.media.formats import open_pillow
from i2i.media.images import to_pil, to_uint8

# Grids with titled columns; lengths in pixels.
MIN_SIDE, MAX_SIDE = 128, 512  # longer side of a cell; smaller images are enlarged, their pixels staying square
MAX_ROWS = 64  # images of a column, at most
GAP, PADDING = 4, 12  # between images; around them and between blocks
INK, BACKGROUND = (222, 224, 228), (24, 26, 30)
LANDSCAPE = 1.45  # the aspect ratio that blocks of rows are wrapped for
CHECKERBOARD = (153, 204)  # gray levels behind transparent images

SHEET_GAP = 2  # pixels between the images of a contact sheet

# Animated GIFs.
MIN_DELAY = 20  # milliseconds; browsers slow down what is faster
TIMELAPSE_DELAY, TIMELAPSE_PAUSE = 160, 1600  # milliseconds of a frame, and of the last one
MIN_TIMELAPSE_WIDTH = 160  # pixels

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


# ---- grids with titled columns -----------------------------------------------------------------------------------


def draw_grid(columns: dict[str, Tensor]) -> Image.Image:
    """The RGB grid of {title: images [B, C, H, W] in [-1, 1]}; titles stand above the columns, each row is an image.

    C is 1 (gray), 3, or 4 (transparency, shown on a checkerboard); of other counts the first channel, or the first
    three, are shown. Columns may differ in size and length: all cells have one size, and missing images leave cells
    empty. At most 64 images of a column are shown; many rows continue in a block beside.
    """
    columns = {title: column[:MAX_ROWS] for title, column in columns.items() if column.ndim == 4 and len(column)}
    if not columns:
        return Image.new("RGB", (MIN_SIDE, MIN_SIDE), BACKGROUND)

    # The size of a cell, and into how many blocks of rows the grid is wrapped.
    height, width = _cell_size(list(columns.values()))
    font = ImageFont.load_default(max(13, min(40, width // 9)))
    top = PADDING + round(font.size * 1.5) if isinstance(font, ImageFont.FreeTypeFont) else PADDING + 18
    rows, n = max(map(len, columns.values())), len(columns)
    blocks = min(range(1, rows + 1), key=lambda b: _layout_cost(b, rows, n, width, height, top))
    block_rows = math.ceil(rows / blocks)
    block_width = n * (width + GAP) - GAP

    # Titles, above each block, and images, centered in their cells.
    size = (PADDING + blocks * (block_width + PADDING), top + block_rows * (height + GAP) - GAP + PADDING)
    grid = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(grid)
    for i, (title, column) in enumerate(columns.items()):
        for block in range(blocks if n > 1 else 1):
            left = PADDING + block * (block_width + PADDING) + i * (width + GAP)
            room = width if n > 1 else grid.width - 2 * PADDING
            pen.text((left, PADDING // 2 + 2), _shorten(title, font, room), fill=INK, font=font)
        for j, tensor in enumerate(column):
            block, row = divmod(j, block_rows)
            image = _scale_into(to_rgb(tensor), width, height)
            left = PADDING + block * (block_width + PADDING) + i * (width + GAP) + (width - image.width) // 2
            grid.paste(image, (left, top + row * (height + GAP) + (height - image.height) // 2))
    return grid


def to_rgb(image: Tensor) -> Image.Image:
    """[C, H, W] in [-1, 1] as an RGB image, transparency on a checkerboard; NaN is shown black."""
    channels = image.shape[0]
    shown = image if channels in (1, 3, 4) else image[: 3 if channels > 4 else 1]
    pil_image = to_pil(to_uint8(torch.nan_to_num(shown.float(), nan=-1.0)))
    if pil_image.mode != "RGBA":
        return pil_image.convert("RGB")
    y, x = np.indices((pil_image.height, pil_image.width)) // 8
    board = np.where((x + y) % 2, *CHECKERBOARD).astype(np.uint8)
    return Image.alpha_composite(Image.fromarray(board).convert("RGBA"), pil_image).convert("RGB")


def _cell_size(columns: list[Tensor]) -> tuple[int, int]:
    """Height and width of a cell: the largest image, enlarged by a whole factor to MIN_SIDE or reduced to MAX_SIDE."""
    height, width = max(c.shape[2] for c in columns), max(c.shape[3] for c in columns)
    longer = max(height, width)
    factor = max(1, round(MIN_SIDE / longer)) if longer <= MAX_SIDE else MAX_SIDE / longer
    if longer * factor < MIN_SIDE * 0.75:
        factor += 1
    return max(1, round(height * factor)), max(1, round(width * factor))


def _scale_into(image: Image.Image, width: int, height: int) -> Image.Image:
    """The image as large as fits into width x height; its pixels stay square when it grows."""
    factor = min(width / image.width, height / image.height)
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    if size == image.size:
        return image
    return image.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS)


def _layout_cost(blocks: int, rows: int, n: int, width: int, height: int, top: int) -> float:
    """How far a layout is from the aspect ratio LANDSCAPE, plus a penalty for its share of empty cells."""
    block_rows = math.ceil(rows / blocks)
    aspect = blocks * (n * (width + GAP) + PADDING) / (top + block_rows * (height + GAP))
    return abs(math.log(aspect / LANDSCAPE)) + 4 * (1 - rows / (blocks * block_rows))


def _shorten(title: str, font: Font, room: int) -> str:
    """The title on one line, cut so that it fits into `room` pixels."""
    title = " ".join(title.split())
    if font.getlength(title) <= room:
        return title
    while title and font.getlength(title + "...") > room:
        title = title[:-1]
    return title + "..."


# ---- contact sheets ----------------------------------------------------------------------------------------------


def contact_sheet(images: Sequence[np.ndarray], columns: int = 0) -> np.ndarray:
    """Images uint8 [H, W, C] of one size on black, in rows of `columns` (0: about square) -> uint8 [h, w, C]."""
    height, width, channels = images[0].shape
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    rows = math.ceil(len(images) / columns)
    cell_height, cell_width = height + SHEET_GAP, width + SHEET_GAP
    sheet = np.zeros((rows * cell_height + SHEET_GAP, columns * cell_width + SHEET_GAP, channels), np.uint8)
    for i, image in enumerate(images):
        top, left = SHEET_GAP + i // columns * cell_height, SHEET_GAP + i % columns * cell_width
        sheet[top : top + height, left : left + width] = image
    return sheet


def enlarge(image: np.ndarray, least: int = 128) -> np.ndarray:
    """[H, W, C], each pixel repeated until the longer side has `least` pixels, with even sides as videos need them."""
    factor = max(1, -(-least // max(image.shape[:2])))
    image = image.repeat(factor, 0).repeat(factor, 1)
    odd = [(0, side % 2) for side in image.shape[:2]]
    return np.pad(image, (*odd, (0, 0)), mode="edge")


def thumbnail(path: Path, width: int = 1200, height: int = 1000) -> bytes:
    """An image file as a JPEG that fits into width x height pixels. Raises OSError if it is missing or damaged."""
    with open_pillow(path) as image:
        small = image.convert("RGB")
    small.thumbnail((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=82, subsampling=1, optimize=True)
    return buffer.getvalue()


# ---- animated GIFs -----------------------------------------------------------------------------------------------


def save_gif(path: Path, images: Sequence[np.ndarray], fps: float) -> Path:
    """Writes an endless animation of images uint8 [H, W, C], enlarged for viewing. Raises I2IError if the disk refuses.

    fps: images a second; GIF counts in hundredths of a second, and 50 are the most."""
    frames = [to_pil(enlarge(image)) for image in images]
    frames = [f if f.mode == "L" else f.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT) for f in frames]
    with atomic_write(path) as file:
        file.write(_encode_gif(frames, max(MIN_DELAY, round(100 / fps) * 10)))
    return path


def timelapse(paths: Sequence[Path], max_bytes: int = 2_500_000, width: int = 640) -> bytes:
    """Image files as an endless GIF of at most `max_bytes`: frames shrink from `width` pixels until they fit.

    Below 160 pixels they shrink no more. The last frame stays a while. Raises OSError if a file is not readable."""
    frames: list[Image.Image] = []
    for path in paths:
        with open_pillow(path) as image:
            frame = image.convert("RGB")
        if frames:
            frame = frame.resize(frames[0].size, Image.Resampling.LANCZOS)
        else:
            frame.thumbnail((width, width), Image.Resampling.LANCZOS)
        frames.append(frame)
    delays = [TIMELAPSE_DELAY] * (len(frames) - 1) + [TIMELAPSE_PAUSE]
    while True:
        data = _encode_gif(_with_one_palette(frames), delays)
        frame_width, frame_height = frames[0].size
        if len(data) <= max_bytes or frame_width <= MIN_TIMELAPSE_WIDTH:
            return data
        shrink = max(0.5, min(0.85, math.sqrt(max_bytes / len(data))))
        size = round(frame_width * shrink), max(1, round(frame_height * shrink))
        frames = [f.resize(size, Image.Resampling.LANCZOS) for f in frames]


def _with_one_palette(frames: list[Image.Image]) -> list[Image.Image]:
    """RGB frames with one palette for all and no dithering, so that what does not change costs no bytes."""
    samples = [frames[i] for i in sorted({0, len(frames) // 2, len(frames) - 1})]
    mosaic = Image.new("RGB", (samples[0].width, sum(f.height for f in samples)))
    for i, frame in enumerate(samples):
        mosaic.paste(frame, (0, i * frame.height))
    palette = mosaic.quantize(255, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return [f.quantize(palette=palette, dither=Image.Dither.NONE) for f in frames]


def _encode_gif(frames: Sequence[Image.Image], delays: int | list[int]) -> bytes:
    """Frames with palettes, or gray, as an endless GIF. delays: milliseconds of all frames, or of each."""
    buffer = io.BytesIO()
    first, *rest = frames
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=delays, loop=0, optimize=False)
    return buffer.getvalue()
