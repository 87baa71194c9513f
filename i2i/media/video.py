"""Videos around the network: frame by frame in one pass, with their timing; sound and subtitles are copied as they are.

PyAV (FFmpeg) reads and writes; it is the extra `video`. Frames are turned as the video says and come out upright, in 8
bits and the colours of BT.709, each with its own time stamp, so videos of a varying rate keep it. Memory does not grow
with the length. H.264 goes into .mp4, .m4v, .mov and .mkv, VP9 into .webm.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from i2i.core import files
from i2i.core.errors import I2IError
from i2i.core.optional import require
from i2i.media import images

READABLE = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv")
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
WRITABLE = tuple(FORMATS)
CRF = {"libx264": (18, 51), "libvpx-vp9": (24, 63)}  # the usual constant quality, and the worst there is
BT709, BT601, LIMITED = 1, 5, 1  # FFmpeg's numbers of colour matrices and of the range 16 to 235
MATRICES = (BT709, 4, BT601, 6, 7, 9)  # that can be undone; videos of others, or that name none, go by their size
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}  # that every encoder takes
KEPT_METADATA = (
    "title",
    "artist",
    "album",
    "comment",
    "copyright",
    "creation_time",
    "date",
    "description",
    "genre",
    "location",
)
SHORTEST_SHARE = 0.9  # of a video's own length: one that ends before is damaged

FrameFunction = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


def require_pyav(why: str) -> Any:
    """PyAV. Raises I2IError naming the extra that brings it."""
    return require("av", "video", why, "PyAV")


def is_video(path: Path) -> bool:
    """By its suffix."""
    return path.suffix.lower() in READABLE


class Writer:
    """A video being written into an open binary file, for frames of one size: uint8 [H, W, 1 or 3].

    suffix: one of WRITABLE. rate: frames a second, for programs that ask; time_base: seconds of one tick of a frame's
    time stamp. quality: 1 to 100; None: the encoders' visually lossless choice. Odd sides keep their pixels: in H.264
    colours are then stored in full. Raises I2IError if the codec is not there."""

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
        """Adds the stream of images; before the first frame, and before any stream is copied beside it."""
        usual, worst = CRF[self.codec]
        crf = usual if self.quality is None else round(worst * (1 - self.quality / 100))
        options = {"crf": str(crf), **({"b": "0", "row-mt": "1"} if self.codec == "libvpx-vp9" else {})}
        try:
            self.stream = self.container.add_stream(self.codec, rate=self.rate, options=options)
        except (self.av.FFmpegError, ValueError) as error:
            raise I2IError(f"This PyAV has no encoder {self.codec}.", "pip install --upgrade av") from error
        self.stream.width, self.stream.height = width, height
        full = self.codec == "libx264" and (width % 2 or height % 2)
        self.stream.pix_fmt = "yuv444p" if full else "yuv420p"
        context = self.stream.codec_context
        context.time_base = self.time_base
        context.color_range, context.colorspace = LIMITED, BT709
        context.color_primaries = context.color_trc = BT709

    def add(self, picture: np.ndarray, pts: int | None = None) -> None:
        """Encodes a frame. pts: its time in ticks of `time_base`; None: the next one."""
        if self.stream is None:
            self.begin(picture.shape[1], picture.shape[0])
        three = picture.repeat(3, 2) if picture.shape[2] == 1 else picture[..., :3]
        frame = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(three), format="rgb24")
        way = {"dst_colorspace": BT709, "dst_color_range": LIMITED, "interpolation": _exact(self.av)}
        frame = frame.reformat(format=self.stream.pix_fmt, **way)
        frame.pts, frame.time_base = self.count if pts is None else pts, self.time_base
        self.count += 1
        self.container.mux(self.stream.encode(frame))

    def end(self) -> None:
        """Writes what the encoder still holds, and the video's index."""
        if self.stream is not None:
            self.container.mux(self.stream.encode())
        self.container.close()


def translate(
    source: Path,
    target: Path,
    run: FrameFunction,
    *,
    quality: int | None = None,
    batch: int = 1,
    max_pixels: int = images.MAX_PIXELS,
    before_landing: Callable[[Path], None] | None = None,
) -> int:
    """Sends the frames of `source` through `run` and writes them as `target`, whole or not at all; gives their number.

    run: uint8 frames [H, W, 3], at most `batch` of them, to as many [h, w, 1 or 3]. quality: see Writer. max_pixels: of
    a frame. before_landing is told the finished file, still under its temporary name. Raises I2IError if the video
    cannot be read, is cut short, or has no images."""
    av = require_pyav(f"Reading {source.suffix} videos")
    with _opened(av, source) as given:
        if not given.streams.video:
            raise I2IError(f"{source} has no images.", "Give a video with an image track.")
        video = given.streams.best("video")
        if video.width * video.height > max_pixels:
            raise I2IError(
                f"{source} has frames of {video.width} x {video.height} pixels, more than the limit of {max_pixels:,}.",
                "Raise it with --max-pixels.",
            )
        video.thread_type = "AUTO"
        with files.atomic_write(target) as file:
            count = _through(av, source, given, file, target.suffix.lower(), run, quality, batch)
            file.flush()
            if before_landing is not None:
                before_landing(Path(file.name))
        return count


def _through(
    av: Any, source: Path, given: Any, file: BinaryIO, suffix: str, run: FrameFunction, quality: int | None, batch: int
) -> int:
    video = given.streams.best("video")
    rate = video.average_rate or video.guessed_rate or Fraction(25)
    writer = Writer(file, suffix, rate, video.time_base, quality)
    writer.container.metadata.update({k: v for k, v in given.metadata.items() if k in KEPT_METADATA})
    waiting: list[tuple[np.ndarray, int]] = []
    held: list[Any] = []  # packets of sound before the first frame has told the size
    tracks: dict[int, Track] = {}
    clock = _Clock(video, rate)

    def send() -> None:
        made = [m[..., None] if m.ndim == 2 else m for m in run([picture for picture, _ in waiting])]
        if made and writer.stream is None:
            writer.begin(made[0].shape[1], made[0].shape[0])
            tracks.update(_tracks(given, writer, suffix))
            for packet in held:
                _copy(packet, tracks)
            held.clear()
        for picture, (_, pts) in zip(made, waiting, strict=True):
            writer.add(picture, pts)
        waiting.clear()

    for packet, frame in _media(av, source, given):
        if frame is not None:
            waiting.append((_upright(av, frame), clock.tick(frame)))
            if len(waiting) >= batch:
                send()
        elif writer.stream is None:
            held.append(packet)
        else:
            _copy(packet, tracks)
    send()
    if writer.stream is None:
        raise I2IError(f"{source} has no frame that can be read.", "It may be damaged.")
    clock.check(source, given)
    for track in tracks.values():
        track.end()
    writer.end()
    return writer.count


def _media(av: Any, source: Path, given: Any) -> Iterator[tuple[Any, Any]]:
    """What the video holds, in its order: (packet, None) of sound and subtitles, (packet, frame) of the images."""
    video = given.streams.best("video")
    with _reading(av, source):
        for packet in given.demux([video, *given.streams.audio, *given.streams.subtitles]):
            if packet.stream.index == video.index:
                for frame in packet.decode():
                    yield packet, frame
            else:
                yield packet, None


class _Clock:
    """Time stamps of frames, made up where a video has none, and how far they reach."""

    def __init__(self, video: Any, rate: Fraction) -> None:
        self.base: Fraction = video.time_base
        self.step = max(1, round(1 / (rate * self.base)))
        self.first: int | None = None
        self.last = -self.step

    def tick(self, frame: Any) -> int:
        pts = self.last + self.step if frame.pts is None else int(frame.pts)
        if self.first is not None and pts <= self.last:  # encoders want them to rise
            pts = self.last + 1
        self.first = pts if self.first is None else self.first
        self.last = pts
        return pts

    def check(self, source: Path, given: Any) -> None:
        """Raises I2IError if the video ended well before the length that it claims."""
        claimed = float(given.duration or 0) / 1e6
        reached = float((self.last - (self.first or 0) + self.step) * self.base)
        sound = any(s.duration for s in given.streams.audio)
        own = given.streams.best("video").duration
        if own:  # the images' own length, where it is known; sound may go on longer
            claimed, sound = float(own * self.base), False
        if not sound and reached < SHORTEST_SHARE * claimed:
            raise I2IError(f"{source} is cut short: {reached:.1f} of {claimed:.1f} seconds can be read.")


class Track:
    """Sound or subtitles on their way into another video: copied, or encoded anew where the format cannot hold them."""

    def __init__(self, writer: Writer, stream: Any, copied: bool) -> None:
        self.writer, self.copied = writer, copied
        container = writer.container
        if copied:
            self.made = container.add_stream_from_template(stream)
        else:
            name = "libopus" if container.format.name == "webm" else "aac"
            self.made = container.add_stream(name, rate=48000)
            told = stream.layout.name  # PCM often names no places of its channels
            self.made.layout = told if told in LAYOUTS.values() else LAYOUTS.get(stream.layout.nb_channels, "stereo")
        for key, value in stream.metadata.items():
            if key in ("language", "title"):
                self.made.metadata[key] = value

    def add(self, packet: Any) -> None:
        if not self.copied:
            for frame in packet.decode():
                self.writer.container.mux(self.made.encode(frame))
        elif packet.dts is not None:  # the empty one at the end has none
            packet.stream = self.made
            self.writer.container.mux(packet)

    def end(self) -> None:
        if not self.copied:
            self.writer.container.mux(self.made.encode())


def _tracks(given: Any, writer: Writer, suffix: str) -> dict[int, Track]:
    """Where each stream of sound and subtitles goes. Subtitles that the format cannot hold are left out."""
    known = set(writer.container.supported_codecs)
    if suffix in (".mp4", ".m4v"):  # PCM and Vorbis are refused there, or played by hardly anything
        known = {name for name in known if not name.startswith("pcm_")} - {"vorbis"}
    elif suffix == ".mov":  # named as known, and refused when the header is written
        known -= {"flac", "opus", "vorbis"}
    found = {s.index: Track(writer, s, s.codec.canonical_name in known) for s in given.streams.audio}
    for stream in given.streams.subtitles:
        if stream.codec_context is not None and stream.codec.canonical_name in known:
            found[stream.index] = Track(writer, stream, True)
    return found


def _copy(packet: Any, tracks: dict[int, Track]) -> None:
    track = tracks.get(packet.stream.index)
    if track is not None:
        track.add(packet)


def _exact(av: Any) -> Any:
    """How colours are converted: rounded, not cut, and for each pixel; FFmpeg's usual way is up to 3 levels dark."""
    ways = av.video.reformatter.Interpolation
    return ways.BICUBIC | ways.ACCURATE_RND | ways.FULL_CHR_H_INT


def _upright(av: Any, frame: Any) -> np.ndarray:
    """The frame as uint8 [H, W, 3] in sRGB's primaries, turned as the video says."""
    matrix = frame.colorspace if frame.colorspace in MATRICES else (BT709 if frame.height >= 720 else BT601)
    made: np.ndarray = frame.reformat(format="rgb24", src_colorspace=matrix, interpolation=_exact(av)).to_ndarray()
    return np.rot90(made, (frame.rotation // 90) % 4) if frame.rotation else made


@contextlib.contextmanager
def _opened(av: Any, source: Path) -> Iterator[Any]:
    with _reading(av, source):
        given = av.open(str(source))
    with given:
        yield given


@contextlib.contextmanager
def _reading(av: Any, source: Path) -> Iterator[None]:
    """Words for what PyAV says of a file."""
    try:
        yield
    except av.FFmpegError as error:
        text = error.strerror or str(error)
        raise I2IError(f"{source} cannot be read as a video: {text}.", "It may be damaged.") from error
