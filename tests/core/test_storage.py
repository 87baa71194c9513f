"""Images at addresses: a store in memory, files by fsspec, and a real S3 server on loopback."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import i2i as library
from i2i import nets
from i2i.core import storage
from i2i.core.errors import I2IError
from i2i.media import pixels
from i2i.models import format as model_file
from tests.cli.program import ROOT, i2i, picture

upath = pytest.importorskip("upath")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    return model_file.save(path, {"G": nets.build("resnet", blocks=1, width=4)}, {"method": "test"})


@pytest.fixture(scope="module")
def server():
    """An S3 server; the environment says where it is, as users of other servers than Amazon's do."""
    moto = pytest.importorskip("moto.server")
    made = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    made.start()
    host, port = made.get_host_and_port()
    words = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for key, value in words.items():
            patch.setenv(key, value)
        yield words
    made.stop()


@pytest.fixture(params=["memory", "s3"])
def bucket(request):
    """The address of an empty bucket."""
    if request.param == "s3":
        pytest.importorskip("s3fs")
        request.getfixturevalue("server")
    name = f"{request.param}://bucket-{os.urandom(4).hex()}"
    fs = upath.UPath(name).fs
    fs.mkdir(name)
    yield name
    fs.rm(name, recursive=True)


def send(tmp_path, address, count=3):
    """Images in a tree, sent to an address; gives the local folder too."""
    folder = tmp_path / "in"
    for i in range(count):
        picture(folder / ("deep/er" if i % 2 else ".") / f"{i}.png", i)
    there = upath.UPath(address)
    for path in folder.rglob("*.png"):
        there.joinpath(path.relative_to(folder).as_posix()).write_bytes(path.read_bytes())
    return folder


def names(address):
    """Objects under an address and where they lie; others may be writing there, and what is listed may be gone."""
    there = upath.UPath(address)
    there.fs.invalidate_cache()
    return {n.strip("/").removeprefix(there.path.strip("/") + "/"): n for n in there.fs.find(there.path)}


def files(address):
    fs = upath.UPath(address).fs
    return {k: fs.cat_file(n) for k, n in names(address).items()}


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_tree_goes_from_bucket_to_bucket_as_it_would_between_folders(model, tmp_path, bucket):
    folder = send(tmp_path, f"{bucket}/in")
    library.translate(folder, tmp_path / "out", model, device="cpu")
    out, _ = i2i("translate", f"{bucket}/in/", "-o", f"{bucket}/out/", "--model", model, "--device", "cpu", "--json")
    assert lines(out)[-1]["done"] == 3
    expected = {p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*.png")}
    made = {k: v for k, v in files(f"{bucket}/out").items() if not k.startswith(".i2i")}
    assert made == expected
    assert sorted(made) == ["0.png", "2.png", "deep/er/1.png"]


def test_from_a_bucket_into_a_folder_and_back_and_by_a_pattern(model, tmp_path, bucket):
    folder = send(tmp_path, f"{bucket}/in")
    one = library.translate(f"{bucket}/in", tmp_path / "down", model, device="cpu")
    assert [p.relative_to(tmp_path / "down").as_posix() for p in one.done] == ["0.png", "2.png", "deep/er/1.png"]
    library.translate(folder, f"{bucket}/up", model, device="cpu")
    library.translate(f"{bucket}/in/**/*.png", f"{bucket}/all", model, device="cpu")
    library.translate(f"{bucket}/in/2.png", f"{bucket}/two.png", model, device="cpu")
    found = files(bucket)
    for name in ("0.png", "2.png", "deep/er/1.png"):
        assert found[f"up/{name}"] == found[f"all/{name}"] == (tmp_path / "down" / name).read_bytes()
    assert found["two.png"] == found["up/2.png"]
    beside = library.translate(f"{bucket}/in/2.png", None, model, device="cpu")
    assert [str(p) for p in beside.done] == [f"{bucket}/in/2.tiny.png"]


def test_objects_that_are_no_images_are_counted(model, tmp_path, bucket):
    send(tmp_path, f"{bucket}/in")
    for name in ("a.dng", "deep/b.psd", "c.mp4", ".hidden.psd"):
        upath.UPath(f"{bucket}/in/{name}").write_bytes(b"x")
    _, err = i2i("translate", f"{bucket}/in", "-o", f"{bucket}/out", "--model", model, "--device", "cpu")
    assert "left out: " in err
    assert "1 .dng, 1 .mp4, 1 .psd" in err
    words = ("-o", f"{bucket}/two", "--model", model, "--device", "cpu", "--json", "--dry-run")
    said = lines(i2i("translate", f"{bucket}/in/**/*.p*", *words)[0])
    assert (said[-1]["planned"], said[-1]["left_out"]) == (3, {".psd": 1})


def test_bad_objects_are_listed_and_what_is_done_is_skipped(model, tmp_path, bucket):
    send(tmp_path, f"{bucket}/in")
    upath.UPath(f"{bucket}/in/bad.png").write_bytes(b"no image")
    words = ("translate", f"{bucket}/in", "-o", f"{bucket}/out", "--model", model, "--device", "cpu", "--json")
    said = lines(i2i(*words, code=3)[0])
    assert {x["input"]: x["state"] for x in said[:-1] if x["state"] == "failed"} == {f"{bucket}/in/bad.png": "failed"}
    assert f"{bucket}/in/bad.png is not an image" in next(x["error"] for x in said if x.get("error"))
    counts = {"done": 0, "skipped": 3, "failed": 1, "planned": 0}
    assert lines(i2i(*words, "--resume", code=3)[0])[-1].items() >= counts.items()
    upath.UPath(f"{bucket}/in/0.png").write_bytes((tmp_path / "in" / "2.png").read_bytes())  # another image by now
    upath.UPath(f"{bucket}/out/2.png").write_bytes(b"cut")
    states = {Path(x["input"]).name: x["state"] for x in lines(i2i(*words, "--resume", code=3)[0])[:-1]}
    assert states == {"0.png": "done", "2.png": "done", "1.png": "skipped", "bad.png": "failed"}
    assert files(f"{bucket}/out")["0.png"] == files(f"{bucket}/out")["2.png"] != b"cut"
    _, err = i2i(*words, "--resume", "--size", "8", code=1)
    assert "other settings" in err


def test_the_record_stays_a_handful_of_objects(model, tmp_path, bucket, monkeypatch):
    from i2i.inference import remote_manifest

    monkeypatch.setattr(remote_manifest, "LINES", 4)
    monkeypatch.setattr(remote_manifest, "MANY", 2)
    send(tmp_path, f"{bucket}/in", count=9)
    library.translate(f"{bucket}/in", f"{bucket}/out", model, device="cpu")
    parts = {k: v for k, v in files(f"{bucket}/out").items() if k.startswith(".i2i-manifest/")}
    assert [v.count(b"\n") for _, v in sorted(parts.items())] == [4, 4, 1]


def test_processes_share_the_work_of_a_bucket(model, tmp_path, server):
    name = f"s3://bucket-{os.urandom(4).hex()}"
    upath.UPath(name).fs.mkdir(name)
    send(tmp_path, f"{name}/in", count=6)
    out, _ = i2i(
        *("translate", f"{name}/in", "-o", f"{name}/out", "--model", model),
        *("--device", "cpu", "--processes", "2", "--json"),
    )
    assert lines(out)[-1]["done"] == 6
    out, _ = i2i("translate", f"{name}/in", "-o", f"{name}/out", "--model", model, "--resume", "--json")
    assert lines(out)[-1]["skipped"] == 6


@pytest.mark.slow
def test_killed_in_the_middle_and_resumed_gives_the_same_objects(model, tmp_path, server):
    name = f"s3://bucket-{os.urandom(4).hex()}"
    upath.UPath(name).fs.mkdir(name)
    send(tmp_path, f"{name}/in", count=150)
    library.translate(f"{name}/in", f"{name}/whole", model, device="cpu")
    command = [sys.executable, "-m", "i2i", "translate", f"{name}/in", "-o", f"{name}/out", "--model", str(model)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, "--device", "cpu"], env=env)
    while sum(not k.startswith(".i2i") for k in names(f"{name}/out")) < 20:
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert sum(not k.startswith(".i2i") for k in names(f"{name}/out")) < 150
    subprocess.run([*command, "--device", "cpu", "--resume"], env=env, check=True)
    whole, made = files(f"{name}/whole"), files(f"{name}/out")
    assert {k: v for k, v in made.items() if ".i2i" not in k} == {k: v for k, v in whole.items() if ".i2i" not in k}


def test_files_by_fsspec_are_the_files(model, tmp_path):
    picture(tmp_path / "in" / "a.png", 0)
    for given in (f"file://{tmp_path}/in", f"file://{tmp_path}/in/*.png", f"file://localhost{tmp_path}/in/**/a*.png"):
        result = library.translate(given, f"file://{tmp_path}/out", model, device="cpu", overwrite=True)
        assert result.done == [tmp_path / "out" / "a.png"]


def test_a_record_that_cannot_be_kept_is_told_beside_what_was_made(model, tmp_path, monkeypatch):
    picture(tmp_path / "in" / "a.png", 0)
    place = f"memory://record-{os.urandom(4).hex()}/out"
    real, began = storage.write_bytes, []

    def write(where, data):
        if ".i2i-manifest" in str(where) and began:
            raise I2IError(f"{where} cannot be written: no.")
        began.append(real(where, data))

    monkeypatch.setattr(storage, "write_bytes", write)
    result = library.translate(f"{tmp_path}/in", place, model, device="cpu", record=True)
    assert [o.state for o in result.outcomes] == ["done"]
    assert "cannot be written: no." in result.record


def test_systems_that_write_piece_by_piece_get_a_name_at_the_end(tmp_path, monkeypatch):
    """Other than stores of objects, such as files behind ssh: an output is moved to its name when it is complete."""
    monkeypatch.setattr(storage, "OBJECT_STORES", set())
    there = storage.locate(f"memory://disk-{os.urandom(4).hex()}/a/b.bin")
    moved = []
    real = type(there.fs).mv
    monkeypatch.setattr(type(there.fs), "mv", lambda self, a, b, **k: moved.append((a, b)) or real(self, a, b, **k))
    storage.write_bytes(there, b"bytes")
    assert storage.read_bytes(there) == b"bytes"
    assert [(a.rsplit("/", 1)[1].startswith(".i2i-"), b) for a, b in moved] == [(True, there.path)]


def test_what_cannot_be_reached_is_a_sentence(model, tmp_path, server):
    for given, said in (
        ("s3://no-such-bucket/in", "There is no file or folder s3://no-such-bucket/in."),
        ("memory://empty/in", "There is no file or folder memory://empty/in."),
        ("nope://x/in", "The address nope://x/in cannot be used"),
    ):
        _, err = i2i("translate", given, "-o", tmp_path / "out", "--model", model, code=1)
        assert said in err
    name = f"memory://full-{os.urandom(4).hex()}"
    send(tmp_path, f"{name}/in")
    _, err = i2i("translate", f"{name}/in", "-o", "s3://no-such-bucket/out", "--model", model, code=1)
    assert "s3://no-such-bucket/out" in err
    _, err = i2i("translate", f"{name}/in", "-o", tmp_path / "out", "--model", model, "--watch", code=1)
    assert "is an address" in err


def test_without_the_extra_it_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "upath", None)
    _, err = i2i("translate", "s3://bucket/in", "-o", tmp_path / "out", "--model", model, code=1)
    assert "pip install 'i2i-toolkit[remote]'" in err


def test_names_of_objects_do_not_lead_out_of_the_output_folder(model, tmp_path, monkeypatch):
    name = f"memory://odd-{os.urandom(4).hex()}"
    fs = upath.UPath(name).fs
    picture(tmp_path / "x.png", 0)
    fs.pipe_file(f"{name}/in/a.png", (tmp_path / "x.png").read_bytes())
    top = upath.UPath(name).path
    monkeypatch.setattr(type(fs), "find", lambda *_, **__: [f"{top}/in/../../x.png", f"{top}/in/a.png"])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(I2IError, match="leads out of its folder"):
        library.translate(f"{name}/in", tmp_path / "out" / "deep", model, device="cpu")
    outside = [p for p in sorted(tmp_path.rglob("*")) if p not in before and not p.is_relative_to(tmp_path / "out")]
    assert outside == []


def test_a_video_goes_from_bucket_to_bucket(model, tmp_path):
    pytest.importorskip("av")
    from tests.media.test_video import seen, shoot

    name = f"memory://films-{os.urandom(4).hex()}"
    source = shoot(tmp_path / "waves.mp4")
    upath.UPath(f"{name}/waves.mp4").write_bytes(source.read_bytes())
    library.translate(f"{name}/waves.mp4", f"{name}/out.mp4", model, device="cpu")
    (tmp_path / "out.mp4").write_bytes(storage.read_bytes(storage.locate(f"{name}/out.mp4")))
    assert seen(tmp_path / "out.mp4")[1:] == seen(source)[1:]
    upath.UPath(f"{name}/bad.mp4").write_bytes(b"no video")
    [(_, why)] = library.translate(f"{name}/bad.mp4", f"{name}/bad-out.mp4", model, device="cpu").failed
    assert f"{name}/bad.mp4 cannot be read as a video" in why
    assert sorted(files(name)) == ["bad.mp4", "out.mp4", "waves.mp4"]


def test_a_name_with_colons_is_no_address():
    for name in ("ab::c.png", "a:b.png", "x:", "C:/in/a.png", "12:30 photo.jpg"):
        assert not storage.is_address(name)
    for name in ("s3://bucket/in", "simplecache::s3://bucket/in", "zip://a.png::s3://bucket/a.zip", "gs://b"):
        assert storage.is_address(name)


def test_paths_import_nothing_of_it(tmp_path):
    far = "any(m in sys.modules for m in ('fsspec', 'upath', 's3fs'))"
    code = f"import sys; from i2i.inference import translate; sys.exit({far})"
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode == 0


def test_a_image_of_a_bucket_is_read_like_a_file(tmp_path):
    name = f"memory://one-{os.urandom(4).hex()}"
    picture(tmp_path / "a.png", 0)
    there = upath.UPath(f"{name}/a.png")
    there.write_bytes((tmp_path / "a.png").read_bytes())
    assert np.array_equal(
        pixels.read(storage.decoder_input(storage.locate(str(there)))), pixels.read(tmp_path / "a.png")
    )
