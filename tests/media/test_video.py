"""Videos through a model: their frames, timing, sound, turns and sizes, and what is said of bad ones."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

import i2i as library
from i2i import nets
from i2i.media import video
from i2i.models import format as model_file
from tests.cli.program import i2i

av = pytest.importorskip("av")
TIMES = (0, 40, 80, 160, 200, 320, 360, 400)  # milliseconds: a varying rate


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    net = nets.build("resnet", blocks=1, width=4, norm="batch").eval()
    return model_file.save(path, {"G": net}, {"method": "test"})


def scene(i, width=64, height=48):
    """A smooth image in which something moves."""
    y, x = np.mgrid[0:height, 0:width] / 16.0
    bands = [np.sin(x + 0.3 * i), np.cos(y - 0.2 * i), np.sin(x + y)]
    return ((np.stack(bands, -1) * 0.35 + 0.5) * 255).astype(np.uint8)


def shoot(path, times=TIMES, width=64, height=48, sound="aac", turn=0):
    """A video of `scene`, a frame at each of `times`, and a tone as long."""
    with av.open(str(path), "w") as made:
        stream = made.add_stream("libvpx-vp9" if path.suffix == ".webm" else "libx264", rate=25, options={"crf": "8"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if sound:
            tone = made.add_stream(sound, rate=48000, layout="mono")
        made.metadata["title"] = "waves"
        for i, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(scene(i, width, height), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
        if sound:
            length = 48 * (times[-1] + 40)
            wave = np.sin(np.arange(length) * 2 * math.pi * 440 / 48000).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, 0
            made.mux(tone.encode(frame))
            made.mux(tone.encode())
    return path


def seen(path):
    """(frames [N, H, W, 3], their times in milliseconds, the packets of sound) of a video."""
    with av.open(str(path)) as made:
        frames = list(made.decode(video=0))
        pictures = [f.reformat(format="rgb24", src_colorspace=f.colorspace if f.colorspace != 2 else 5) for f in frames]
        times = [round(f.time * 1000) for f in frames]
    with av.open(str(path)) as made:
        sound = [bytes(p) for p in made.demux(made.streams.audio) if p.size] if made.streams.audio else []
    return np.stack([p.to_ndarray() for p in pictures]), times, sound


def decibels(a, b):
    return 10 * math.log10(255**2 / np.square(a.astype(float) - b).mean())


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_frames_are_translated_in_their_time_and_the_sound_is_the_same(model, tmp_path, suffix):
    source = shoot(tmp_path / f"waves{suffix}")
    out, _ = i2i("translate", source, "-o", tmp_path / f"out{suffix}", "--model", model, "--json", "--device", "cpu")
    assert json.loads(out.splitlines()[0])["state"] == "done"
    frames, times, sound = seen(source)
    made, made_times, made_sound = seen(tmp_path / f"out{suffix}")
    assert made_times == times == list(TIMES)
    assert made_sound == sound != []
    expected = np.stack(library.load(model, "cpu")(list(frames)))
    assert decibels(made, expected) > 35
    with av.open(str(tmp_path / f"out{suffix}")) as found:
        assert found.metadata["title"] == "waves"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([f"out{suffix}", source.name])


def test_another_container_keeps_sound_that_it_can_hold_and_encodes_other_anew(model, tmp_path):
    source = shoot(tmp_path / "waves.mp4")
    i2i("translate", source, "-o", tmp_path / "out.webm", "--model", model, "--device", "cpu")
    with av.open(str(tmp_path / "out.webm")) as made:
        assert [s.codec.canonical_name for s in made.streams] == ["vp9", "opus"]
        tone = np.concatenate([f.to_ndarray()[0] for f in made.decode(audio=0)])
    loudest = np.abs(np.fft.rfft(tone[4800:14400])).argmax() * 48000 / 9600
    assert loudest == pytest.approx(440, abs=10)
    i2i("translate", source, "-o", tmp_path / "out.mkv", "--model", model, "--device", "cpu")
    assert seen(tmp_path / "out.mkv")[2] == seen(source)[2]


@pytest.mark.parametrize(("sound", "wanted"), [("flac", ".mov"), ("libopus", ".mov"), ("pcm_s24le", ".mp4")])
def test_sound_that_a_format_refuses_is_encoded_anew(tmp_path, sound, wanted):
    source = shoot(tmp_path / "waves.mkv", sound=sound)
    assert video.translate(source, tmp_path / f"out{wanted}", lambda frames: frames) == 8
    with av.open(str(tmp_path / f"out{wanted}")) as made:
        assert [s.codec.canonical_name for s in made.streams] == ["h264", "aac"]
        tone = np.concatenate([f.to_ndarray()[0] for f in made.decode(audio=0)])
    loudest = np.abs(np.fft.rfft(tone[4800:14400])).argmax() * 48000 / 9600
    assert loudest == pytest.approx(440, abs=10)


def test_a_video_that_names_a_matrix_nobody_knows_is_read():
    for matrix in (3, 8, 10, 14):
        frame = av.VideoFrame.from_ndarray(scene(0), format="rgb24").reformat(format="yuv420p")
        frame.colorspace = matrix
        assert decibels(video._upright(av, frame), scene(0)) > 30


@pytest.mark.parametrize("bits", ["yuv420p", "yuvj420p", "yuv420p10le"])
def test_grays_come_out_as_they_are_in_any_range_and_depth(bits):
    """Not a level darker, as with FFmpeg's usual conversion."""
    for grey in range(0, 256, 5):
        flat = np.full((48, 64), grey, np.float64)
        luma = flat if bits == "yuvj420p" else flat * 219 / 255 + 16
        top, depth = (4, np.uint16) if bits.endswith("10le") else (1, np.uint8)
        planes = np.concatenate([luma, np.full((24, 64), 128.0)]) * top
        frame = av.VideoFrame(64, 48, bits)
        for plane, part in zip(frame.planes, np.split(planes.round().astype(depth).ravel(), [3072, 3840]), strict=True):
            rows = np.zeros((plane.height, plane.line_size // depth().itemsize), depth)
            rows[:, : plane.width] = part.reshape(plane.height, plane.width)
            plane.update(rows.tobytes())
        frame.color_range, frame.colorspace = (2 if bits == "yuvj420p" else 1), 1
        assert abs(video._upright(av, frame).astype(int) - grey).max() <= (0 if bits != "yuv420p" else 1)


def test_odd_sides_keep_every_pixel_and_a_size_can_be_asked_for(model, tmp_path):
    source = shoot(tmp_path / "odd.webm", width=63, height=47, sound=None)
    i2i("translate", source, "-o", tmp_path / "odd.mp4", "--model", model, "--device", "cpu")
    assert seen(tmp_path / "odd.mp4")[0].shape == (8, 47, 63, 3)
    i2i("translate", source, "-o", tmp_path / "small.mp4", "--model", model, "--device", "cpu", "--size", "40x30")
    assert seen(tmp_path / "small.mp4")[0].shape == (8, 30, 40, 3)


def test_a_video_that_lies_on_its_side_comes_out_upright(tmp_path):
    """As telephones hold upright videos: the track's matrix says a quarter turn clockwise. It is applied, and not said
    again."""
    source = shoot(tmp_path / "side.mp4", sound=None)
    data = bytearray(source.read_bytes())
    lying = seen(source)[0]
    at = data.index(b"tkhd")
    plain = b"".join(n.to_bytes(4, "big") for n in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
    turned = b"".join((n % (1 << 32)).to_bytes(4, "big") for n in (0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30))
    at = data.index(plain, at)
    data[at : at + 36] = turned
    source.write_bytes(data)
    video.translate(source, tmp_path / "out.mp4", lambda frames: frames, quality=95)
    made = seen(tmp_path / "out.mp4")[0]
    assert made.shape == (8, 64, 48, 3)
    assert decibels(made[3], np.rot90(lying[3], -1)) > 35
    with av.open(str(tmp_path / "out.mp4")) as found:
        assert next(found.decode(video=0)).rotation == 0


def test_colors_of_both_matrices_come_through(tmp_path):
    """A video that is only copied frame by frame looks the same, whichever matrix its colours are stored by."""
    for matrix in (1, 5):
        path = tmp_path / f"{matrix}.mp4"
        with av.open(str(path), "w") as made:
            stream = made.add_stream("libx264", rate=25, options={"crf": "4"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.colorspace = matrix
            frame = av.VideoFrame.from_ndarray(scene(0), format="rgb24")
            made.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=matrix)))
            made.mux(stream.encode())
        out = tmp_path / f"{matrix}.out.mp4"
        assert video.translate(path, out, lambda frames: frames, quality=95) == 1
        assert decibels(seen(out)[0][0], scene(0)) > 33
        with av.open(str(out)) as made:
            assert made.streams.video[0].codec_context.colorspace == 1


def test_memory_holds_a_batch_of_frames_at_most(tmp_path):
    counts = []
    source = shoot(tmp_path / "waves.mp4")
    video.translate(source, tmp_path / "out.mp4", lambda frames: counts.append(len(frames)) or frames, batch=3)
    assert counts == [3, 3, 2]


def test_videos_among_images_are_recorded_and_resumed(model, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    shoot(folder / "a.mp4")
    (folder / "b.mp4").write_bytes((folder / "a.mp4").read_bytes()[:3000])
    (folder / "c.mkv").write_bytes(b"no video")
    words = ("translate", f"{folder}/*", "-o", tmp_path / "out", "--model", model, "--device", "cpu", "--json")
    lines = [json.loads(x) for x in i2i(*words, code=3)[0].splitlines()]
    assert [x["state"] for x in lines[:-1]] == ["done", "failed", "failed"]
    assert "b.mp4 cannot be read as a video" in lines[1]["error"]
    assert "c.mkv cannot be read as a video" in lines[2]["error"]
    assert not list((tmp_path / "out").glob(".*.tmp"))
    before = (tmp_path / "out" / "a.mp4").stat().st_mtime_ns
    lines = [json.loads(x) for x in i2i(*words, "--resume", code=3)[0].splitlines()]
    assert [x["state"] for x in lines[:-1]] == ["skipped", "failed", "failed"]
    assert (tmp_path / "out" / "a.mp4").stat().st_mtime_ns == before
    _, err = i2i("translate", folder / "a.mp4", "--model", model, "--format", "png", code=1)
    assert "is a video; it cannot be written as .png" in err
    _, err = i2i("translate", folder / "a.mp4", "--model", model, "--size", "50000", code=1)
    assert "would have" in err
    Image.new("RGB", (16, 16)).save(folder / "d.png")
    _, err = i2i("translate", f"{folder}/[ad]*", "-o", tmp_path / "two", "--model", model, "--format", "webp")
    assert sorted(p.name for p in (tmp_path / "two").glob("[!.]*")) == ["a.mp4", "d.webp"]


def test_a_video_cut_short_is_not_taken_for_whole(tmp_path):
    source = shoot(tmp_path / "waves.mkv", times=tuple(range(0, 8000, 40)), sound=None)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    with pytest.raises(video.I2IError, match=r"cut short|cannot be read"):
        video.translate(source, tmp_path / "out.mkv", lambda frames: frames)
    assert not (tmp_path / "out.mkv").exists()


def test_without_pyav_the_extra_is_named(model, tmp_path, monkeypatch):
    source = shoot(tmp_path / "waves.mp4")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    _, err = i2i("translate", source, "-o", tmp_path / "out.mp4", "--model", model, code=1)
    assert "pip install 'i2i-toolkit[video]'" in err


def test_kinds_are_not_mixed_up(model, tmp_path):
    source = shoot(tmp_path / "waves.mp4")
    assert "is a video" in i2i("translate", source, "-o", tmp_path / "out.png", "--model", model, code=1)[1]
    _, err = i2i("translate", "tests/digits/test.png", "-o", tmp_path / "out.mp4", "--model", model, code=1)
    assert "is not a video" in err


def test_transparent_frames_are_laid_on_white(tmp_path):
    """What H.264 cannot hold is dropped, and not the colours under it shown to the network."""
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[:, 8:] = (200, 100, 50, 255)
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("qtrle", rate=10)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "argb"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="argb")))
        container.mux(stream.encode())
    seen = []
    video.translate(tmp_path / "a.mov", tmp_path / "b.mp4", lambda frames: seen.extend(frames) or frames)
    assert len(seen) == 3
    for frame in seen:
        assert (frame[:, :8] == 255).all()
        assert np.abs(frame[:, 8:].astype(int) - (200, 100, 50)).max() <= 1
