"""Frames into a video file: .mp4, .m4v, .mov and .mkv as H.264, .webm as VP9; tagged as 8 bits of BT.709."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from i2i.core import files
from i2i.core.errors import I2IError
from i2i.core.optional import require
from i2i.media.grids import enlarge

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}  # FFmpeg's names
WRITABLE = tuple(FORMATS)
CRF = {"libx264": (18, 51), "libvpx-vp9": (24, 63)}  # constant rate factor: visually lossless, and the worst there is
BT709, LIMITED = 1, 1  # FFmpeg's numbers of the color matrix, and of the range 16 to 235
SQUARE = Fraction(1)


def require_pyav(why: str) -> Any:
    """PyAV. Raises I2IError with the command that installs it; why: the subject of that sentence."""
    return require("av", "video", why, "PyAV")


def exact_conversion(av: Any) -> Any:
    """How colors are converted: rounded, and for each pixel; FFmpeg's default is up to 3 levels too dark."""
    flags = av.video.reformatter.Interpolation
    return flags.BICUBIC | flags.ACCURATE_RND | flags.FULL_CHR_H_INT


class VideoWriter:
    """A video being written into an open binary file, for frames of one size: uint8 [H, W, 1 or 3].

    suffix: one of WRITABLE. rate: frames a second that the file states. time_base: seconds of one tick of the frames'
    time stamps; default 1 / rate. quality: 1 to 100; None: visually lossless. Odd sides keep their pixels: H.264 then
    stores colors without subsampling. Raises I2IError if PyAV or its encoder is missing."""

    def __init__(
        self, file: BinaryIO, suffix: str, rate: Fraction, time_base: Fraction | None = None, quality: int | None = None
    ) -> None:
        self.av = require_pyav(f"Writing {suffix} videos")
        self.codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
        self.container = self.av.open(file, "w", format=FORMATS[suffix])
        self.rate, self.time_base, self.quality = rate, time_base or 1 / rate, quality
        self.stream: Any = None
        self.count = 0

    def begin(self, width: int, height: int, aspect: Fraction = SQUARE) -> None:
        """Adds the stream of frames; before the first frame, and before any track beside it.

        aspect: width of a pixel divided by its height. WebM's writer cannot store it: frames become square pixels."""
        if aspect != SQUARE and self.codec == "libvpx-vp9":
            width, height = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
            aspect = SQUARE
        lossless, worst = CRF[self.codec]
        crf = lossless if self.quality is None else round(worst * (1 - self.quality / 100))
        options = {"crf": str(crf), **({"b": "0", "row-mt": "1"} if self.codec == "libvpx-vp9" else {})}
        try:
            self.stream = self.container.add_stream(self.codec, rate=self.rate, options=options)
        except (self.av.FFmpegError, ValueError) as error:
            raise I2IError(f"This PyAV has no encoder {self.codec}.", "pip install --upgrade av") from error
        self.stream.width, self.stream.height = width, height
        has_odd_side = self.codec == "libx264" and (width % 2 or height % 2)
        self.stream.pix_fmt = "yuv444p" if has_odd_side else "yuv420p"
        context = self.stream.codec_context
        context.time_base, context.sample_aspect_ratio = self.time_base, aspect
        context.color_range, context.colorspace = LIMITED, BT709
        context.color_primaries = context.color_trc = BT709

    def add(self, image: np.ndarray, pts: int | None = None) -> None:
        """Encodes a frame. pts: its time stamp in ticks of `time_base`; None: one tick after the last."""
        if self.stream is None:
            self.begin(image.shape[1], image.shape[0])
        rgb = image.repeat(3, 2) if image.shape[2] == 1 else image[..., :3]
        frame = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        colors = {"dst_colorspace": BT709, "dst_color_range": LIMITED, "interpolation": exact_conversion(self.av)}
        size = {"width": self.stream.width, "height": self.stream.height}
        frame = frame.reformat(format=self.stream.pix_fmt, **size, **colors)
        frame.pts, frame.time_base = self.count if pts is None else pts, self.time_base
        self.count += 1
        self.container.mux(self.stream.encode(frame))

    def end(self) -> None:
        """Writes what the encoder still holds, and the video's index."""
        if self.stream is not None:
            self.container.mux(self.stream.encode())
        self.container.close()


def save_video(path: Path, frames: Sequence[np.ndarray], fps: float) -> Path:
    """Writes images uint8 [H, W, C], enlarged for viewing, as a video. fps: images a second.

    Raises I2IError if PyAV is missing or the disk refuses."""
    require_pyav(f"Writing {path.suffix} videos")
    with files.atomic_write(path) as file:
        writer = VideoWriter(file, path.suffix.lower(), Fraction(fps).limit_denominator(1000))
        for frame in frames:
            writer.add(enlarge(frame))
        writer.end()
    return path
