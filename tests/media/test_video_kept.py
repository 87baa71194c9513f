"""What a video keeps on its way: proportions, colors, sound and subtitles that go on, chapters, languages, fonts."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from i2i import nets
from i2i.core.errors import I2IError
from i2i.media import video, video_color
from i2i.media.video_writer import exact_conversion
from i2i.models import format as model_file
from tests.cli.program import i2i
from tests.media.test_video import scene

av = pytest.importorskip("av")
ASPECT = Fraction(64, 45)  # of a pixel of PAL in 16:9
LATE = 2000  # milliseconds


def unchanged(frames):
    return frames


def encode(path, images=None, *, times=None, form="yuv420p", aspect=None, tags=None, **beside):
    """A video of `images`, at `times` in milliseconds; aspect: of a pixel; tags: (primaries, transfer, matrix, range).

    beside: tones ((language, milliseconds), ...), texts ((language, begin, length), ...), chapters and a font."""
    images = [scene(i) for i in range(5)] if images is None else images
    times = range(0, 40 * len(images), 40) if times is None else times
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.height, stream.width = 48, 64
        stream.pix_fmt, context = form, stream.codec_context
        context.time_base = Fraction(1, 1000)
        if aspect:
            context.sample_aspect_ratio = aspect
        if tags:
            context.color_primaries, context.color_trc, context.colorspace, context.color_range = tags
        stream.metadata["language"] = "fra"
        tones = [(container.add_stream("aac", rate=48000, layout="mono"), *tone) for tone in beside.get("tones", ())]
        for number, (tone, language, _) in enumerate(tones):
            tone.metadata.update({"language": language, "title": f"{language} sound"})
            tone.disposition = av.stream.Disposition.default if number == 0 else av.stream.Disposition.comment
        texts = [(container.add_mux_stream("subrip"), *text) for text in beside.get("texts", ())]
        for text, language, *_ in texts:
            text.metadata["language"] = language
        container.set_chapters(beside.get("chapters", []))
        if "font" in beside:
            container.add_attachment("font.ttf", "font/ttf", beside["font"])
        colors = {"dst_colorspace": tags[2], "dst_color_range": tags[3]} if tags else {}
        for image, time in zip(images, times, strict=True):
            frame = image
            if isinstance(image, np.ndarray):
                rgb = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame = rgb.reformat(format=form, interpolation=exact_conversion(av), **colors)
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        for tone, _, length in tones:
            wave = np.sin(np.arange(48 * length) * 0.05).astype(np.float32) * 0.3
            frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, 0
            container.mux(tone.encode(frame))
            container.mux(tone.encode())
        for text, language, begin, length in texts:
            packet = av.Packet(f"Text in {language}".encode())
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = begin
            packet.duration = length
            container.mux(packet)
    return path


def shown(path):
    """(first frame uint8 [H, W, 3], aspect of its pixels, (primaries, transfer, matrix, range)) of a video."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        aspect = stream.sample_aspect_ratio or Fraction(1)
        frame = next(container.decode(video=0))
        rgb = frame.reformat(format="rgb24", src_colorspace=frame.colorspace).to_ndarray()
        return rgb, aspect, (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range)


def ends(path):
    """(type, language, milliseconds at which the last packet ends) of each track of a video."""
    with av.open(str(path)) as container:
        last = {s.index: 0.0 for s in container.streams}
        for packet in container.demux():
            if packet.size:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                last[packet.stream.index] = max(last[packet.stream.index], end)
        return [(s.type, s.metadata.get("language"), round(1000 * last[s.index])) for s in container.streams]


# ---- proportions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("aspect", [ASPECT, Fraction(8, 9)])
def test_pixels_that_are_no_squares_keep_their_proportions(tmp_path, suffix, aspect):
    source = encode(tmp_path / f"a{suffix}", aspect=aspect)
    video.translate(source, tmp_path / f"out{suffix}", unchanged)
    image, kept, _ = shown(tmp_path / f"out{suffix}")
    assert (image.shape, kept) == ((48, 64, 3), aspect)


@pytest.mark.parametrize(("aspect", "width", "height"), [(ASPECT, 91, 48), (Fraction(8, 9), 64, 54)])
def test_webm_shows_the_same_proportions_with_square_pixels(tmp_path, aspect, width, height):
    video.translate(encode(tmp_path / "a.mp4", aspect=aspect), tmp_path / "out.webm", unchanged)
    image, kept, _ = shown(tmp_path / "out.webm")
    assert (image.shape[:2], kept) == ((height, width), 1)


def test_a_turned_video_turns_its_pixels(tmp_path):
    source = encode(tmp_path / "a.mp4", aspect=ASPECT)
    with av.open(str(source)) as container, av.open(str(tmp_path / "turned.mp4"), "w") as turned:
        stream = turned.add_stream_from_template(container.streams.video[0], opaque=True)
        stream.set_display_rotation(90)
        for packet in container.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                turned.mux(packet)
    assert next(av.open(str(tmp_path / "turned.mp4")).decode(video=0)).rotation % 180 == 90
    video.translate(tmp_path / "turned.mp4", tmp_path / "out.mp4", unchanged)
    image, kept, _ = shown(tmp_path / "out.mp4")
    assert (image.shape[:2], kept) == ((64, 48), 1 / ASPECT)


def shrink(width, height):
    return lambda frames: [np.zeros((height, width, 3), np.uint8)] * len(frames)


def test_another_size_is_shown_with_the_proportions_of_the_input(tmp_path):
    source = encode(tmp_path / "a.mp4", aspect=ASPECT)
    for size, wanted in (((32, 24), ASPECT), ((43, 32), ASPECT), ((91, 48), 1), ((64, 64), ASPECT * 4 / 3)):
        video.translate(source, tmp_path / "out.mp4", shrink(*size))
        assert shown(tmp_path / "out.mp4")[1] == wanted
    square = encode(tmp_path / "square.mp4")
    video.translate(square, tmp_path / "out.mp4", shrink(100, 20))  # as asked: stretched, like an image
    assert shown(tmp_path / "out.mp4")[1] == 1


# ---- colors --------------------------------------------------------------------------------------------------------


def gray_in_10_bits(value, is_full):
    """A frame of one gray, 0 to 1, in the range 0 to 1023 or 64 to 940."""
    luma = round(value * 1023 if is_full else 64 + value * 876)
    frame = av.VideoFrame(64, 48, "yuv420p10le")
    for plane, level in zip(frame.planes, (luma, 512, 512), strict=True):
        plane.update(np.full((plane.height, plane.line_size // 2), level, np.uint16).tobytes())
    return frame


@pytest.mark.parametrize("full", [1, 2])
@pytest.mark.parametrize(
    ("transfer", "code", "level"),
    # 203 nits, white by BT.2408, stays the bright gray that BT.2390 leaves room above; 50 nits: exactly sRGB of 50/203
    [(16, 0.5807, 229), (16, 0.4403, 136), (16, 0.7518, 255), (18, 0.75, 229), (18, 1.0, 255), (18, 0.0, 0)],
)
def test_hdr_becomes_what_a_screen_without_hdr_shows(tmp_path, transfer, code, level, full):
    frame = gray_in_10_bits(code, full == 2)
    source = encode(tmp_path / "a.mp4", [frame], tags=(9, transfer, 9, full), form="yuv420p10le")
    notes = []
    video.translate(source, tmp_path / "out.mp4", unchanged, notes=notes)
    image, _, tags = shown(tmp_path / "out.mp4")
    assert tags == (1, 1, 1, 1)
    assert abs(image.astype(int) - level).max() <= 3
    assert notes == [f"HDR ({video_color.HDR[transfer]}) was converted to the colors of BT.709."]


def test_colors_of_a_wide_gamut_become_those_of_bt709(tmp_path):
    """Display P3, as telephones film: by the matrix of CSS Color 4 (P3 to sRGB, linear light)."""
    p3 = np.array([180, 120, 100], np.uint8)
    code = p3 / 255
    linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    matrix = [[1.2249402, -0.2249402, 0], [-0.0420570, 1.0420570, 0], [-0.0196376, -0.0786360, 1.0982736]]
    wanted = (np.array(matrix) @ linear) ** (1 / 2.4) * 1.055 - 0.055
    source = encode(tmp_path / "a.mp4", [np.broadcast_to(p3, (48, 64, 3)).copy()], tags=(12, 1, 1, 1))
    video.translate(source, tmp_path / "out.mp4", unchanged)
    assert np.abs(shown(tmp_path / "out.mp4")[0][24, 32] - wanted * 255).max() <= 3


@pytest.mark.parametrize("primaries", video_color.PRIMARIES)
def test_gray_stays_gray_with_all_primaries(primaries):
    ramp = np.linspace(0, 1, 256)[None, :, None].repeat(3, 2)
    out = video_color.into_bt709(ramp, primaries, 1)
    assert np.abs(out[0] - np.arange(256)[:, None]).max() <= 1


def test_the_brightness_of_hdr_rises_without_a_step():
    for transfer in video_color.HDR:
        levels = video_color.into_bt709(np.linspace(0, 1, 2048)[None, :, None].repeat(3, 2), 9, transfer)[0, :, 0]
        steps = np.diff(levels.astype(int))
        assert steps.min() >= 0
        assert steps.max() <= 2
        assert (levels[0], levels[-1]) == (0, 255)


def test_a_logarithmic_video_is_refused(tmp_path):
    source = encode(tmp_path / "a.mp4", tags=(1, 9, 1, 1))
    with pytest.raises(I2IError, match=r"a\.mp4 has colors on a logarithmic scale"):
        video.translate(source, tmp_path / "out.mp4", unchanged)
    assert not (tmp_path / "out.mp4").exists()


# ---- beside the images ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_sound_that_outlasts_the_images_is_written_whole(tmp_path, suffix):
    source = encode(tmp_path / f"a{suffix}", tones=[("deu", 3000), ("eng", 2500)])
    assert video.translate(source, tmp_path / f"out{suffix}", unchanged) == 5
    assert ends(tmp_path / f"out{suffix}") == ends(source)
    with av.open(str(source)) as before, av.open(str(tmp_path / f"out{suffix}")) as after:
        assert [s.disposition for s in before.streams.audio] == [s.disposition for s in after.streams.audio]
        packets = [[bytes(p) for p in c.demux(audio=1) if p.size] for c in (before, after)]
        assert packets[0] == packets[1]
        assert suffix != ".mkv" or after.streams.audio[1].metadata["title"] == "eng sound"


def test_sound_that_outlasts_the_images_is_written_whole_into_webm(tmp_path):
    source = encode(tmp_path / "a.mkv", tones=[("deu", 3000)])
    video.translate(source, tmp_path / "b.webm", unchanged)
    video.translate(tmp_path / "b.webm", tmp_path / "c.webm", unchanged)
    for name in ("b.webm", "c.webm"):
        (_, _, images), (_, language, sound) = ends(tmp_path / name)
        assert (images, language) == (200, "deu")
        assert abs(sound - 3000) < 60


def test_subtitles_that_outlast_the_images_chapters_and_fonts_are_kept(tmp_path):
    chapters = [
        {"id": 1, "start": 0, "end": 100, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
        {"id": 2, "start": 100, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}},
    ]
    texts = [("deu", 40, 5000), ("fra", 9000, 1000)]
    source = encode(tmp_path / "a.mkv", texts=texts, tones=[("deu", 200)], chapters=chapters, font=b"a font")
    video.translate(source, tmp_path / "out.mkv", unchanged)
    assert ends(tmp_path / "out.mkv") == ends(source)
    with av.open(str(tmp_path / "out.mkv")) as made:
        assert [c["metadata"]["title"] for c in made.chapters()] == ["One", "Two"]
        assert [(a.name, bytes(a.data)) for a in made.streams.attachments] == [("font.ttf", b"a font")]
        assert [bytes(p) for p in made.demux(subtitles=1) if p.size] == [b"Text in fra"]


def test_subtitles_that_a_format_cannot_hold_are_named(tmp_path):
    source = encode(tmp_path / "a.mkv", texts=[("deu", 40, 100)])
    torch.manual_seed(0)
    net = nets.build("resnet", blocks=1, width=4, norm="batch").eval()
    model = model_file.save(tmp_path / "tiny.safetensors", {"G": net}, {"method": "test"})
    _, err = i2i("translate", source, "-o", tmp_path / "out.mp4", "--model", model, "--device", "cpu")
    assert "a.mkv: 1 track was left out, because .mp4 cannot hold it: subtitles (subrip)." in err


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".webm"])
def test_images_that_begin_late_stay_late(tmp_path, suffix):
    source = encode(tmp_path / "a.mkv", times=range(LATE, LATE + 200, 40), tones=[("deu", 3000)])
    video.translate(source, tmp_path / f"out{suffix}", unchanged)
    with av.open(str(tmp_path / f"out{suffix}")) as made:
        times = [round(f.time * 1000) for f in made.decode(video=0)]
    assert times == [*range(LATE, LATE + 200, 40)]
    (_, _, images), (_, _, sound) = ends(tmp_path / f"out{suffix}")
    assert images == LATE + 200
    assert abs(sound - 3000) < 60


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_video_with_sound_that_is_cut_short_is_refused(tmp_path, share):
    images = [scene(i) for i in range(100)]
    data = encode(tmp_path / "a.mkv", images, tones=[("deu", 8000)]).read_bytes()
    (tmp_path / "b.mkv").write_bytes(data[: round(len(data) * share)])
    with pytest.raises(I2IError, match=r"cut short|cannot be read"):
        video.translate(tmp_path / "b.mkv", tmp_path / "out.mkv", unchanged)
    assert not (tmp_path / "out.mkv").exists()


# ---- models --------------------------------------------------------------------------------------------------------


def test_a_model_that_makes_no_numbers_is_one_sentence(tmp_path):
    net = nets.build("resnet", blocks=1, width=4, norm="instance").eval()
    for parameter in net.parameters():
        parameter.data.fill_(1e30)  # finite, but what it makes is not
    model = model_file.save(tmp_path / "huge.safetensors", {"G": net}, {"method": "test"})
    source = encode(tmp_path / "a.mp4")
    out, err = i2i("translate", source, "-o", tmp_path / "out.mp4", "--model", model, "--device", "cpu", code=1)
    assert "The network's output holds NaN or infinite values" in err
    assert (out, err.count("\n")) == ("", 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "huge.safetensors"]
