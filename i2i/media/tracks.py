"""Sound and subtitles of a video on their way into another one, packet by packet. PyAV is the extra `video`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

CHANNEL_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}  # all encoders take these
SAMPLE_RATE = 48000  # of sound that is encoded anew


class Track:
    """One stream of sound or subtitles: copied, or encoded anew where the output format cannot hold it.

    output: the PyAV container that receives it. stream: of the input."""

    def __init__(self, output: Any, stream: Any, is_copied: bool) -> None:
        self.output, self.is_copied = output, is_copied
        if is_copied:
            self.target = output.add_stream_from_template(stream)
        else:
            codec = "libopus" if output.format.name == "webm" else "aac"
            self.target = output.add_stream(codec, rate=SAMPLE_RATE)
            layout = stream.layout.name  # PCM often does not name its channels
            known = layout in CHANNEL_LAYOUTS.values()
            self.target.layout = layout if known else CHANNEL_LAYOUTS.get(stream.layout.nb_channels, "stereo")
        keep_facts(stream, self.target)

    def add(self, packet: Any) -> None:
        """Writes one packet of the input's stream."""
        if not self.is_copied:
            for frame in packet.decode():
                self.output.mux(self.target.encode(frame))
        elif packet.dts is not None:  # the empty packet at the end has none
            packet.stream = self.target
            self.output.mux(packet)

    def end(self) -> None:
        """Writes what the encoder still holds."""
        if not self.is_copied:
            self.output.mux(self.target.encode())


def keep_facts(stream: Any, target: Any) -> None:
    """Gives a stream of the output the language, the title and the flags (default, forced, ...) of one of the input."""
    for key, value in stream.metadata.items():
        if key.lower() in ("language", "title"):
            target.metadata[key] = value
    target.disposition = stream.disposition


def open_tracks(container: Any, output: Any, suffix: str, notes: list[str]) -> dict[int, Track]:
    """A track in `output` for each stream of sound and subtitles of `container`, by the stream's index.

    Chapters and the fonts of subtitles are copied at once. Subtitles that the format of `suffix` cannot hold are left
    out, and named in `notes`."""
    known = set(output.supported_codecs)
    if suffix in (".mp4", ".m4v"):  # PCM and Vorbis are refused there, or hardly any player plays them
        known = {name for name in known if not name.startswith("pcm_")} - {"vorbis"}
    elif suffix == ".mov":  # listed as supported, but refused when the header is written
        known -= {"flac", "opus", "vorbis"}
    tracks = {s.index: Track(output, s, _is_known(s, known)) for s in container.streams.audio if s.codec_context}
    left_out = [f"sound ({s.name or 'unknown'})" for s in container.streams.audio if not s.codec_context]
    for stream in container.streams.subtitles:
        if stream.codec_context is not None and _is_known(stream, known):
            tracks[stream.index] = Track(output, stream, True)
        else:
            codec = "unknown" if stream.codec_context is None else stream.codec.canonical_name
            left_out.append(f"subtitles ({codec})")
    if left_out:
        kinds = ", ".join(dict.fromkeys(left_out))
        what, pronoun = ("1 track was", "it") if len(left_out) == 1 else (f"{len(left_out)} tracks were", "them")
        notes.append(f"{what} left out, because {suffix} cannot hold {pronoun}: {kinds}.")
    if chapters := container.chapters():
        output.set_chapters(chapters)
    if suffix == ".mkv":
        _copy_attachments(container.streams.attachments, output)
    return tracks


def _is_known(stream: Any, known: set[str]) -> bool:
    """Whether a stream can be copied; `known` has names of codecs, of which some have two (dca and dts)."""
    return stream.codec.canonical_name in known or stream.codec.name in known


def _copy_attachments(attachments: Iterable[Any], output: Any) -> None:
    for one in attachments:
        if one.name and one.mimetype and one.data:
            output.add_attachment(one.name, one.mimetype, one.data)
