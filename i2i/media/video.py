"""Videos around the network: frame by frame in one pass, with their timing; sound and subtitles are copied.

PyAV (FFmpeg) reads and writes; it is the extra `video`. Frames are turned upright and come out in 8 bits and the colors
of BT.709, each with its own time stamp, so that a variable frame rate is kept. Memory does not grow with the length.
.mp4, .m4v, .mov and .mkv are encoded as H.264, .webm as VP9.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from i2i.core import files
from i2i.core.errors import I2IError
from i2i.core.optional import require
from i2i.media import images, tracks
from i2i.media.grids import enlarge
from i2i.media.tracks import Track

READABLE = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv")
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}  # FFmpeg's names
WRITABLE = tuple(FORMATS)
CONTAINERS = "mov,matroska,avi,mpeg,mpegts,mpegvideo,asf"  # FFmpeg's names of what READABLE holds
CRF = {"libx264": (18, 51), "libvpx-vp9": (24, 63)}  # constant rate factor: visually lossless, and the worst there is
BT709, BT601, LIMITED = 1, 5, 1  # FFmpeg's numbers of color matrices, and of the range 16 to 235
MATRICES = (BT709, 4, BT601, 6, 7, 9)  # color matrices that can be undone
HD_HEIGHT = 720  # pixels; a video with another matrix, or none, counts as BT.709 from here on, as BT.601 below
KEPT_METADATA = frozenset(
    ["title", "artist", "album", "comment", "copyright", "creation_time", "date", "description", "genre", "location"]
)
FALLBACK_RATE = Fraction(25)  # frames a second of a video that does not say
MIN_SHARE = 0.9  # of the length that a video claims; one that ends earlier is damaged

FrameFunction = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


def require_pyav(why: str) -> Any:
    """PyAV. Raises I2IError with the command that installs it; why: the subject of that sentence."""
    return require("av", "video", why, "PyAV")


def is_video(path: Path) -> bool:
    """True for the suffix of a video that can be read."""
    return path.suffix.lower() in READABLE


# ---- writing -----------------------------------------------------------------------------------------------------


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

    def begin(self, width: int, height: int) -> None:
        """Adds the stream of frames; before the first frame, and before any track beside it."""
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
        context.time_base = self.time_base
        context.color_range, context.colorspace = LIMITED, BT709
        context.color_primaries = context.color_trc = BT709

    def add(self, image: np.ndarray, pts: int | None = None) -> None:
        """Encodes a frame. pts: its time stamp in ticks of `time_base`; None: one tick after the last."""
        if self.stream is None:
            self.begin(image.shape[1], image.shape[0])
        rgb = image.repeat(3, 2) if image.shape[2] == 1 else image[..., :3]
        frame = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        target = {"dst_colorspace": BT709, "dst_color_range": LIMITED, "interpolation": _exact_conversion(self.av)}
        frame = frame.reformat(format=self.stream.pix_fmt, **target)
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


# ---- translating -------------------------------------------------------------------------------------------------


def translate(
    source: Path,
    target: Path,
    function: FrameFunction,
    *,
    quality: int | None = None,
    batch: int = 1,
    max_pixels: int = images.MAX_PIXELS,
    before_rename: Callable[[Path], None] | None = None,
) -> int:
    """Sends the frames of `source` through `function` and writes `target`, whole or not at all; returns their number.

    function: uint8 frames [H, W, 3], at most `batch` of them, to as many [h, w, 1 or 3]. quality: see VideoWriter.
    max_pixels: of a frame. before_rename: called with the finished file under its temporary name. Raises I2IError if
    the video cannot be read, is cut short, or has no images."""
    av = require_pyav(f"Reading {source.suffix} videos")
    with _open(av, source) as container:
        if not container.streams.video:
            raise I2IError(f"{source} has no images.", "Give a video with an image track.")
        stream = container.streams.best("video")
        if stream.width * stream.height > max_pixels:
            raise I2IError(
                f"{source} has frames of {stream.width} x {stream.height} pixels, more than the limit of "
                f"{max_pixels:,}.",
                "Raise it with --max-pixels.",
            )
        stream.thread_type = "AUTO"
        with files.atomic_write(target) as file:
            count = _Pass(av, source, container, file, target.suffix.lower(), function, quality, batch).run()
            file.flush()
            if before_rename is not None:
                before_rename(Path(file.name))
        return count


class _Pass:
    """One pass over a video: batches of frames through a function, sound and subtitles beside them."""

    def __init__(
        self,
        av: Any,
        source: Path,
        container: Any,
        file: BinaryIO,
        suffix: str,
        function: FrameFunction,
        quality: int | None,
        batch: int,
    ) -> None:
        self.av, self.source, self.container, self.suffix = av, source, container, suffix
        self.function, self.batch = function, batch
        self.stream = container.streams.best("video")
        rate = self.stream.average_rate or self.stream.guessed_rate or FALLBACK_RATE
        self.clock = _Clock(self.stream, rate)
        self.writer = VideoWriter(file, suffix, rate, self.stream.time_base, quality)
        self.writer.container.metadata.update({k: v for k, v in container.metadata.items() if k in KEPT_METADATA})
        self.tracks: dict[int, Track] = {}
        self.waiting: list[tuple[np.ndarray, int]] = []  # frames of the next batch, with their time stamps
        self.held: list[Any] = []  # packets of sound, until the first frame has told the size of the output

    def run(self) -> int:
        """Makes the pass and returns the number of frames."""
        for packet, frame in self._packets():
            if frame is not None:
                self.waiting.append((_upright(self.av, frame), self.clock.tick(frame)))
                if len(self.waiting) >= self.batch:
                    self._send()
            elif self.writer.stream is None:
                self.held.append(packet)
            else:
                self._copy(packet)
        self._send()
        if self.writer.stream is None:
            raise I2IError(f"{self.source} has no frame that can be read.", "It may be damaged.")
        self.clock.check(self.source, self.container)
        for track in self.tracks.values():
            track.end()
        self.writer.end()
        return self.writer.count

    def _packets(self) -> Iterator[tuple[Any, Any]]:
        """All that the video holds, in its order: (packet, None) of a track, (packet, frame) of the images."""
        streams = self.container.streams
        with _reading(self.av, self.source):
            for packet in self.container.demux([self.stream, *streams.audio, *streams.subtitles]):
                if packet.stream.index == self.stream.index:
                    for frame in packet.decode():
                        yield packet, frame
                else:
                    yield packet, None

    def _send(self) -> None:
        """Translates the frames that wait and writes them."""
        if not self.waiting:
            return
        outputs = [o[..., None] if o.ndim == 2 else o for o in self.function([image for image, _ in self.waiting])]
        if self.writer.stream is None:
            self.writer.begin(outputs[0].shape[1], outputs[0].shape[0])
            self.tracks = tracks.open_tracks(self.container, self.writer.container, self.suffix)
            for packet in self.held:
                self._copy(packet)
            self.held.clear()
        for output, (_, pts) in zip(outputs, self.waiting, strict=True):
            self.writer.add(output, pts)
        self.waiting.clear()

    def _copy(self, packet: Any) -> None:
        track = self.tracks.get(packet.stream.index)
        if track is not None:
            track.add(packet)


class _Clock:
    """Time stamps of frames: made up where a video has none, and compared with the length that it claims."""

    def __init__(self, stream: Any, rate: Fraction) -> None:
        self.base: Fraction = stream.time_base
        self.step = max(1, round(1 / (rate * self.base)))
        self.first: int | None = None
        self.last = -self.step

    def tick(self, frame: Any) -> int:
        """The time stamp of the next frame, in ticks of `base`; later than all before."""
        pts = self.last + self.step if frame.pts is None else int(frame.pts)
        if self.first is not None and pts <= self.last:  # encoders refuse time stamps that do not rise
            pts = self.last + 1
        self.first = pts if self.first is None else self.first
        self.last = pts
        return pts

    def check(self, source: Path, container: Any) -> None:
        """Raises I2IError if the frames ended well before the length that the video claims."""
        claimed = float(container.duration or 0) / 1e6
        reached = float((self.last - (self.first or 0) + self.step) * self.base)
        may_be_sound = any(s.duration for s in container.streams.audio)
        own = container.streams.best("video").duration
        if own:  # the length of the images alone, where it is known; sound may go on longer
            claimed, may_be_sound = float(own * self.base), False
        if not may_be_sound and reached < MIN_SHARE * claimed:
            raise I2IError(f"{source} is cut short: {reached:.1f} of {claimed:.1f} seconds can be read.")


# ---- reading -----------------------------------------------------------------------------------------------------


def _exact_conversion(av: Any) -> Any:
    """How colors are converted: rounded, and for each pixel; FFmpeg's default is up to 3 levels too dark."""
    flags = av.video.reformatter.Interpolation
    return flags.BICUBIC | flags.ACCURATE_RND | flags.FULL_CHR_H_INT


def _upright(av: Any, frame: Any) -> np.ndarray:
    """The frame as uint8 [H, W, 3] with the primaries of sRGB, laid on white, and turned as the video says."""
    matrix = frame.colorspace if frame.colorspace in MATRICES else (BT709 if frame.height >= HD_HEIGHT else BT601)
    has_alpha = any(component.is_alpha for component in frame.format.components)
    target = {"format": "rgba" if has_alpha else "rgb24", "src_colorspace": matrix}
    rgb = frame.reformat(**target, interpolation=_exact_conversion(av)).to_ndarray()
    rgb = images.on_white(rgb) if has_alpha else rgb
    return np.rot90(rgb, (frame.rotation // 90) % 4) if frame.rotation else cast(np.ndarray, rgb)


@contextlib.contextmanager
def _open(av: Any, source: Path) -> Iterator[Any]:
    with _reading(av, source):
        # FFmpeg knows a format by its content: without these limits, a list named x.mp4 makes it open other files.
        limits = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
        container = av.open(f"file:{source}", options=limits)
    with container:
        yield container


@contextlib.contextmanager
def _reading(av: Any, source: Path) -> Iterator[None]:
    """Turns PyAV's errors into I2IError naming the file."""
    try:
        yield
    except av.FFmpegError as error:
        text = error.strerror or str(error)
        raise I2IError(f"{source} cannot be read as a video: {text}.", "It may be damaged.") from error
