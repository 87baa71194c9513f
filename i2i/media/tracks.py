"""Sound and subtitles of a video on their way into another one, packet by packet. PyAV is the extra `video`."""

from __future__ import annotations

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
        for key, value in stream.metadata.items():
            if key in ("language", "title"):
                self.target.metadata[key] = value

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


def open_tracks(container: Any, output: Any, suffix: str) -> dict[int, Track]:
    """A track in `output` for each stream of sound and subtitles of `container`, by the stream's index.

    Subtitles that the format of `suffix` cannot hold are left out."""
    known = set(output.supported_codecs)
    if suffix in (".mp4", ".m4v"):  # PCM and Vorbis are refused there, or hardly any player plays them
        known = {name for name in known if not name.startswith("pcm_")} - {"vorbis"}
    elif suffix == ".mov":  # listed as supported, but refused when the header is written
        known -= {"flac", "opus", "vorbis"}
    tracks = {s.index: Track(output, s, s.codec.canonical_name in known) for s in container.streams.audio}
    for stream in container.streams.subtitles:
        if stream.codec_context is not None and stream.codec.canonical_name in known:
            tracks[stream.index] = Track(output, stream, True)
    return tracks
