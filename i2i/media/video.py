"""Videos around the network: frame by frame in one pass, with their timing; sound and subtitles are copied.

PyAV (FFmpeg) reads and writes; it is the extra `video`. Frames are turned upright and come out in 8 bits and the colors
of BT.709 (HDR is converted: video_color), each with its own time stamp, so that a variable frame rate is kept, and with
the proportions of its pixels. Memory does not grow with the length.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from i2i.core import files, pretenders
from i2i.core.errors import I2IError
from i2i.media import colorimetry, images, tracks, video_color
from i2i.media.formats import start_of
from i2i.media.tracks import Track
from i2i.media.video_writer import SQUARE, exact_conversion
from i2i.media.video_writer import WRITABLE as WRITABLE
from i2i.media.video_writer import VideoWriter as VideoWriter
from i2i.media.video_writer import require_pyav as require_pyav

READABLE = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv")
CONTAINERS = "mov,matroska,avi,mpeg,mpegts,mpegvideo,asf"  # FFmpeg's names of what READABLE holds
STATES_OWN_LENGTH = ("mov,mp4", "avi")  # formats that store the length of the images apart from that of the sound
BT709, BT601, BT2020, FULL = 1, 5, 9, 2  # FFmpeg's numbers of color matrices, and of the range 0 to 255
MATRICES = (BT709, 4, BT601, 6, 7, BT2020)  # color matrices that can be undone
LOGARITHMIC = (video_color.LOG, video_color.LOG_SQRT)
HD_HEIGHT = 720  # pixels; a video with another matrix, or none, counts as BT.709 from here on, as BT.601 below
_WORK = ["title", "album", "show", "track", "date", "genre", "comment", "description", "synopsis", "keywords", "lyrics"]
_MAKERS = ["artist", "album_artist", "author", "composer", "director", "copyright"]
KEPT_METADATA = frozenset([*_WORK, *_MAKERS, "creation_time", "location", "make", "model"])
FALLBACK_RATE = Fraction(25)  # frames a second of a video that does not say
MIN_SHARE = 0.9  # of the length that a video claims; one that ends earlier is damaged
MOST_ASPECT = 16  # of a pixel's sides; what is beyond is damage

FrameFunction = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


def is_video(path: Path) -> bool:
    """True for the suffix of a video that can be read."""
    return path.suffix.lower() in READABLE


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
    notes: list[str] | None = None,
) -> int:
    """Sends the frames of `source` through `function` and writes `target`, whole or not at all; returns their number.

    function: uint8 frames [H, W, 3], at most `batch` of them, to as many [h, w, 1 or 3]. quality: see VideoWriter.
    max_pixels: of a frame. before_rename: called with the finished file under its temporary name. notes: gets sentences
    on what was converted or left out. Raises I2IError if the video cannot be read, is cut short, or has no images."""
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
            one_pass = _Pass(av, source, container, file, target.suffix.lower(), function, quality, batch)
            count = one_pass.run()
            file.flush()
            if notes is not None:
                notes += one_pass.notes
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
        self.aspect = Fraction(self.stream.sample_aspect_ratio or 1)  # of a pixel that lies as it is stored
        self.notes: list[str] = []
        rate = self.stream.average_rate or self.stream.guessed_rate or FALLBACK_RATE
        self.clock = _Clock(self.stream, rate)
        self.writer = VideoWriter(file, suffix, rate, self.stream.time_base, quality)
        metadata = container.metadata.items()
        self.writer.container.metadata.update({k: v for k, v in metadata if k.lower() in KEPT_METADATA})
        self.tracks: dict[int, Track] = {}
        self.waiting: list[tuple[np.ndarray, int]] = []  # frames of the next batch, with their time stamps
        self.held: list[Any] = []  # packets of sound, until the first frame shows the size of the output

    def run(self) -> int:
        """Makes the pass and returns the number of frames."""
        for packet, frame in self._packets():
            if frame is not None:
                if self.clock.first is None:
                    self._look_at(frame)
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

    def _look_at(self, frame: Any) -> None:
        """The first frame: how its colors are stored, and how its pixels lie."""
        if frame.color_trc in LOGARITHMIC:
            raise I2IError(
                f"{self.source} has colors on a logarithmic scale (transfer function {frame.color_trc}).",
                "Convert it to BT.709 first, with the program that it was graded in.",
            )
        if frame.color_trc in video_color.HDR:
            self.notes.append(f"HDR ({video_color.HDR[frame.color_trc]}) was converted to the colors of BT.709.")
        if not 1 / MOST_ASPECT <= self.aspect <= MOST_ASPECT:
            self.aspect = SQUARE
        if frame.rotation and (frame.rotation // 90) % 2:
            self.aspect = 1 / self.aspect

    def _packets(self) -> Iterator[tuple[Any, Any]]:
        """All that the video holds, in its order: (packet, None) of a track, (packet, frame) of the images."""
        streams = [s for s in self.container.streams if s.type in ("video", "audio", "subtitle")]
        with _reading(self.av, self.source):
            for packet in self.container.demux(streams):
                self.clock.see(packet)
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
            height, width = outputs[0].shape[:2]
            self.writer.begin(width, height, _aspect(self.aspect, self.waiting[0][0].shape[:2], (height, width)))
            tracks.keep_facts(self.stream, self.writer.stream)
            self.tracks = tracks.open_tracks(self.container, self.writer.container, self.suffix, self.notes)
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
    """Time stamps of frames, invented where a video has none; and how far a video reaches of the length it claims."""

    def __init__(self, stream: Any, rate: Fraction) -> None:
        self.base: Fraction = stream.time_base
        self.step = max(1, round(1 / (rate * self.base)))
        self.first: int | None = None
        self.last = -self.step
        self.begin, self.end = float("inf"), 0.0  # seconds, of all that was read: images, sound and subtitles

    def tick(self, frame: Any) -> int:
        """The time stamp of the next frame, in ticks of `base`; later than all before."""
        pts = self.last + self.step if frame.pts is None else int(frame.pts)
        if self.first is not None and pts <= self.last:  # encoders refuse time stamps that do not rise
            pts = self.last + 1
        self.first = pts if self.first is None else self.first
        self.last = pts
        return pts

    def see(self, packet: Any) -> None:
        """Notes the time of a packet of any track."""
        if packet.pts is not None and packet.size:
            self.begin = min(self.begin, float(packet.pts * packet.time_base))
            self.end = max(self.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))

    def check(self, source: Path, container: Any) -> None:
        """Raises I2IError if the video ended well before the length that it claims.

        Sound and subtitles may go on after the images: most formats only state the length of all together."""
        own = container.streams.best("video").duration
        if own and container.format.name.startswith(STATES_OWN_LENGTH):
            claimed = float(own * self.base)
            reached = float((self.last - (self.first or 0) + self.step) * self.base)
        else:
            claimed = float(container.duration or 0) / 1e6
            reached = max(self.end, self.end - self.begin)  # times may begin anywhere
            reached = max(reached, float((self.last + self.step) * self.base))
        if reached < MIN_SHARE * claimed:
            raise I2IError(f"{source} is cut short: {reached:.1f} of {claimed:.1f} seconds can be read.")


def _aspect(aspect: Fraction, before: tuple[int, ...], after: tuple[int, ...]) -> Fraction:
    """The proportions of an output's pixels, width to height. before, after: height and width of a frame.

    Square pixels stay square. Others keep theirs if the frame keeps its shape; else they change with it, so that the
    video is shown with the proportions that it had."""
    (old_height, old_width), (height, width) = before, after
    if aspect == SQUARE or abs(old_width * height / old_height - width) < 1:
        return aspect
    changed = aspect * Fraction(old_width * height, old_height * width)
    return SQUARE if abs(changed * width - width) < 1 else changed.limit_denominator(10000)


# ---- reading -----------------------------------------------------------------------------------------------------


def _upright(av: Any, frame: Any) -> np.ndarray:
    """The frame as uint8 [H, W, 3] in the colors of BT.709, laid on white, and turned as the video says."""
    primaries, transfer = frame.color_primaries, frame.color_trc
    has_alpha = any(component.is_alpha for component in frame.format.components)
    colors = {"src_colorspace": _matrix(frame), "interpolation": exact_conversion(av)}
    if video_color.is_bt709(primaries, transfer):
        rgb: np.ndarray = frame.reformat(format="rgba" if has_alpha else "rgb24", **colors).to_ndarray()
    else:  # in 16 bits, so that nothing is lost on the way
        deep = frame.reformat(format="rgba64le" if has_alpha else "rgb48le", **colors).to_ndarray()
        rgb = video_color.into_bt709(deep[..., :3] / np.float32(_white(frame)), primaries, transfer)
        if has_alpha:
            rgb = np.concatenate([rgb, images.to_8_bits(deep[..., 3:])], -1)
    rgb = images.on_white(rgb) if has_alpha else rgb
    return np.rot90(rgb, (frame.rotation // 90) % 4) if frame.rotation else rgb


def _matrix(frame: Any) -> int:
    """FFmpeg's number of the matrix that a frame's colors are stored by; a guess where it names none that is known."""
    if frame.colorspace in MATRICES:
        return int(frame.colorspace)
    if frame.color_trc in video_color.HDR or frame.color_primaries == colorimetry.BT2020:
        return BT2020
    return BT709 if frame.height >= HD_HEIGHT else BT601


def _white(frame: Any) -> int:
    """What FFmpeg makes of white in 16 bits: it shifts the levels, so that white stays below 65535."""
    bits = frame.format.components[0].bits
    is_full = frame.color_range == FULL or frame.format.is_rgb or frame.format.name.startswith("yuvj")
    return ((1 << bits) - 1) << (16 - bits) if is_full and bits <= 16 else 65283


@contextlib.contextmanager
def _open(av: Any, source: Path) -> Iterator[Any]:
    with _reading(av, source):
        files.require_regular(source)
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
        if pretender := pretenders.unmask(start_of(source, pretenders.HEAD), "video"):
            raise I2IError(f"{source} {pretender[0]}", pretender[1]) from error
        raise I2IError(f"{source} cannot be read as a video: {text}.", "It may be damaged.") from error
