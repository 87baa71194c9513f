"""Archives: what is translated where, the record that survives crashes, shards, processes, a watched folder."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from i2i import nets
from i2i.core.errors import I2IError
from i2i.inference import manifest
from i2i.inference.inputs import in_shard, parse_shard, read_list
from i2i.inference.settings import NetworkSettings
from i2i.inference.translate import settings_digest, translate
from i2i.inference.watch import watch
from i2i.inference.workers import Work
from i2i.media import images
from i2i.media.codec import WriteSettings
from i2i.models import format as model_file
from i2i.models.load import load
from i2i.models.tiling import TileSettings
from i2i.models.translator import Translator


class Dim(nn.Module):
    """A network that halves what it gets."""

    multiple = 1

    def __init__(self, factor=0.5):
        super().__init__()
        self.arguments = {"channels_in": 3, "channels_out": 3}
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x):
        return x * self.factor


def dim(factor=0.5):
    return Translator(Dim(factor), {}, "dim")


def picture(i, size=(12, 9)):
    return Image.fromarray(np.random.default_rng(i).integers(0, 256, (size[1], size[0], 3), np.uint8))


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "in"
    for i in range(6):
        place = folder / ("a" if i % 2 else "b/c") / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture(i).save(place)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("m") / "small.safetensors"
    return model_file.save(path, {"G": nets.build("resnet", blocks=1, width=2)})


def listed(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def entries(out):
    return [json.loads(line) for line in (out / manifest.NAME).read_text().splitlines()]


# ---- names ---------------------------------------------------------------------------------------------------------


def test_patterns_keep_the_tree_below_their_fixed_part(archive, tmp_path):
    result = translate(str(archive / "**" / "*.png"), tmp_path / "out", dim())
    assert {p.relative_to(tmp_path / "out").as_posix() for p in result.done} == {
        *(f"a/{i}.png" for i in (1, 3, 5)),
        *(f"b/c/{i}.png" for i in (0, 2, 4)),
    }
    result = translate(str(archive / "b" / "*" / "[02].png"), None, dim())
    assert [p.name for p in result.done] == ["0.dim.png", "2.dim.png"]
    again = translate(str(archive / "b" / "*" / "*.png"), None, dim())  # never what it wrote before
    assert len(again.skipped) == 2
    assert [p.name for p in again.done] == ["4.dim.png"]
    with pytest.raises(I2IError, match="no image in"):
        translate(str(archive / "*.webp"), tmp_path / "out", dim())


def test_names_that_meet_are_found_before_work_begins(tmp_path):
    for name in ("a.png", "a.jpg"):
        picture(0).save(tmp_path / name)
    with pytest.raises(I2IError, match="would both become") as caught:
        translate(tmp_path, tmp_path / "out", dim(), format="webp")
    assert "a.png" in str(caught.value)
    assert "a.jpg" in str(caught.value)
    assert not (tmp_path / "out").exists()
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        picture(0).save(tmp_path / name / "b.png")
    with pytest.raises(I2IError, match="would both become"):
        translate([tmp_path / "x" / "b.png", tmp_path / "y" / "b.png"], tmp_path / "out", dim())


def test_outputs_stay_inside_the_folder(tmp_path, archive, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(elsewhere)
    with pytest.raises(I2IError, match="leads out of"):
        translate(archive, tmp_path / "out", dim())
    monkeypatch.chdir(archive / "a")
    (archive / "a" / "list").write_text("../b/c/0.png\n")
    result = translate([], tmp_path / "out2", dim(), listed=read_list(archive / "a" / "list"))
    assert result.done == [tmp_path / "out2" / "0.png"]
    assert os.listdir(elsewhere) == []


def test_odd_names_and_links(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    names = ["ümläut é.png", "日本語.png", "🦓.png", "with\nline.png", "-dash.png", "%s.png", "trailing .png"]
    raw = os.fsdecode(b"bad\xff.png")
    for name in [*names, raw, "x" * 240 + ".png"]:
        picture(1).save(folder / name)
    (folder / "link.png").symlink_to(folder / "%s.png")
    (folder / "loop").symlink_to(folder)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "folder.png").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.png")
        with pytest.raises(I2IError, match="neither a file nor a folder"):
            translate(folder / "pipe.png", tmp_path / "o.png", dim())
    result = translate(folder, tmp_path / "out", dim())
    assert result.failed == []
    assert {p.name for p in result.done} == {*names, raw, "x" * 240 + ".png", "link.png"}
    resumed = translate(folder, tmp_path / "out", dim(), resume=True)
    assert len(resumed.skipped) == 10


def test_links_that_lead_nowhere_are_named(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    picture(1).save(folder / "good.png")
    (folder / "dangling.png").symlink_to("nowhere")
    (folder / "itself.png").symlink_to("itself.png")
    (folder / "no image").symlink_to("nowhere")
    for given in (folder, str(folder / "*")):
        result = translate(given, tmp_path / "out", dim(), overwrite=True)
        assert [p.name for p in result.done] == ["good.png"]
        assert [p.name for p, _ in result.failed] == ["dangling.png", "itself.png"]
        assert "is a link to a file that does not exist" in result.failed[0][1]
        assert "damaged" not in result.failed[1][1]
    assert images.find_images(folder) == [folder / "good.png"]  # what training reads


def test_a_wrong_suffix_is_no_fault(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    picture(1).save(folder / "a.png", "JPEG", quality=95)
    picture(2).save(folder / "b.jpg", "PNG")
    picture(3).save(folder / "c.tif", "WEBP", lossless=True)
    (folder / "d.png").mkdir()  # and a folder is one, whatever its name
    picture(4).save(folder / "d.png" / "e.webp", lossless=True)
    result = translate(folder, tmp_path / "out", dim())
    assert result.failed == []
    assert [(p.name, Image.open(p).format) for p in result.done] == [
        ("a.png", "PNG"), ("b.jpg", "JPEG"), ("c.tif", "TIFF"), ("e.webp", "WEBP"),
    ]  # fmt: skip


def chunks(png, seal=lambda crc: crc, **changes):
    """A PNG with the data of chunks changed and their checksums made anew, or `seal`ed otherwise."""
    made, at = png[:8], 8
    while at < len(png):
        length, name = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        data = changes.get(name.decode(), bytes)(png[at + 8 : at + 8 + length])
        made += len(data).to_bytes(4, "big") + name + data + seal(zlib.crc32(name + data)).to_bytes(4, "big")
        at += 12 + length
    return made


def test_bad_files_of_thirteen_kinds(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    picture(0, (64, 64)).save(folder / "good.jpg", quality=95)
    whole = (folder / "good.jpg").read_bytes()
    picture(0, (64, 64)).save(folder / "good.png")
    png = (folder / "good.png").read_bytes()
    (folder / "bad-empty.png").write_bytes(b"")
    (folder / "bad-text.jpg").write_text("hello")
    (folder / "bad-cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "bad-cut.png").write_bytes(png[: len(png) // 2])
    (folder / "bad-head.png").write_bytes(png[:20])
    (folder / "bad-zeros.tif").write_bytes(bytes(500))
    Image.new("1", (12000, 12000)).save(folder / "bad-bomb.png")
    lie = bytearray(png)
    lie[16:24] = (65000).to_bytes(4, "big") * 2
    (folder / "bad-lie.png").write_bytes(bytes(lie))
    (folder / "bad-width.png").write_bytes(chunks(png, IHDR=lambda data: bytes(4) + data[4:]))
    (folder / "bad-deflate.png").write_bytes(chunks(png, IDAT=lambda data: data[:2] + b"\xff" * 40 + data[42:]))
    (folder / "bad-checksum.png").write_bytes(chunks(png, seal=lambda crc: crc ^ 1))
    (folder / "bad-html.webp").write_text("<html></html>")
    Image.new("I", (8, 8), -5).save(folder / "bad-negative.tif")
    result = translate(folder, tmp_path / "out", dim())
    assert [p.name for p in result.done] == ["good.jpg", "good.png"]
    assert sorted(p.name for p, _ in result.failed) == sorted(p for p in os.listdir(folder) if p.startswith("bad"))
    assert all("bad-" in reason or "32-bit" in reason for _, reason in result.failed)
    assert listed(tmp_path / "out") == [manifest.NAME, "good.jpg", "good.png"]
    states = {e["input"]: e["state"] for e in entries(tmp_path / "out")}
    assert states["good.jpg"] == "done"
    assert states["bad-bomb.png"] == "failed"
    wide = translate(folder / "bad-bomb.png", tmp_path / "x.png", dim(), max_pixels=20, dry_run=True)
    assert len(wide.planned) == 1


@pytest.fixture
def home():
    """The folder of a user who may not do everything; for root, the test goes on as nobody."""
    if not hasattr(os, "geteuid"):
        pytest.skip("no users here")
    root, place = os.geteuid() == 0, Path(tempfile.mkdtemp())
    if root:
        os.chown(place, 65534, 65534)
        os.seteuid(65534)
    try:
        yield place
    finally:
        if root:
            os.seteuid(0)
        for path in place.rglob("*"):
            if path.is_dir():
                path.chmod(0o700)
        shutil.rmtree(place)


def test_files_without_permission_fail_alone(home):
    (home / "in").mkdir()
    for i in range(3):
        picture(i).save(home / "in" / f"{i}.png")
    (home / "in" / "1.png").chmod(0)
    result = translate(home / "in", home / "out", dim())
    assert [(p.name, "Permission denied" in reason) for p, reason in result.failed] == [("1.png", True)]
    assert [p.name for p in result.done] == ["0.png", "2.png"]


def test_an_archive_that_may_only_be_read(home):
    (home / "in" / "sub").mkdir(parents=True)
    picture(0).save(home / "in" / "sub" / "a.png")
    for path in (home / "in" / "sub" / "a.png", home / "in" / "sub", home / "in"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    result = translate(home / "in", home / "out", dim())
    assert [p.relative_to(home).as_posix() for p in result.done] == ["out/sub/a.png"]
    (beside,) = translate(home / "in" / "sub" / "a.png", None, dim()).failed
    assert "cannot be written: Permission denied" in beside[1]


@pytest.mark.parametrize("record", [None, False])
def test_an_output_folder_that_may_not_be_written(home, record):
    (home / "in").mkdir()
    for i in range(3):
        picture(i).save(home / "in" / f"{i}.png")
    (home / "out").mkdir(mode=0o555)
    if record is None:
        with pytest.raises(I2IError, match="cannot be written: Permission denied"):
            translate(home / "in", home / "out", dim())
    else:
        result = translate(home / "in", home / "out", dim(), record=record)
        assert len(result.failed) == 3
        assert all("cannot be written: Permission denied" in reason for _, reason in result.failed)
    assert os.listdir(home / "out") == []


def test_a_file_where_a_folder_should_be_fails_each_image(archive, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("in the way")
    result = translate(archive, tmp_path / "out", dim())
    assert len(result.failed) == 3
    assert all("cannot be written" in reason for _, reason in result.failed)
    assert len(result.done) == 3


# ---- the record ----------------------------------------------------------------------------------------------------


def test_resuming_does_what_is_not_done_or_not_intact(archive, tmp_path):
    out = tmp_path / "out"
    translate(archive, out, dim())
    good = {p: p.read_bytes() for p in out.rglob("*.png")}
    (out / "a" / "1.png").write_bytes(b"half")
    (out / "a" / "3.png").unlink()
    picture(99).save(archive / "a" / "5.png")  # a new input under an old name
    result = translate(archive, out, dim(), resume=True)
    assert sorted(p.name for p in result.done) == ["1.png", "3.png", "5.png"]
    assert len(result.skipped) == 3
    for path, data in good.items():
        assert (path.read_bytes() == data) == (path.name != "5.png")


def test_the_users_own_files_are_never_taken_for_outputs(archive, tmp_path):
    out = tmp_path / "out"
    (out / "a").mkdir(parents=True)
    (out / "a" / "1.png").write_bytes(b"mine")
    result = translate(archive, out, dim(), resume=True)
    assert result.skipped == [out / "a" / "1.png"]
    assert (out / "a" / "1.png").read_bytes() == b"mine"


def test_another_model_or_other_settings_are_refused(archive, tmp_path):
    out = tmp_path / "out"
    translate(archive, out, dim())
    with pytest.raises(I2IError, match="6 outputs were made with another model"):
        translate(archive, out, dim(0.25), resume=True)
    with pytest.raises(I2IError, match="other settings"):
        translate(archive, out, dim(), resume=True, size=5)
    assert len(translate(archive, out, dim(0.25), resume=True, overwrite=True).done) == 6
    assert len(translate(archive, out, dim(0.25), resume=True).skipped) == 6


def test_records_of_earlier_versions_still_count():
    """The digests below were written by version 0.2: a change would translate finished archives again."""
    assert settings_digest(Work(dim())) == "1b5837988930e229dcf287c71aeac34b"
    write = WriteSettings((8, 8), 50, "4:2:0", "drop", "srgb", 1000)
    work = Work(dim(), write, TileSettings(64, 4, 1e9, True), NetworkSettings(precision="bf16"))
    assert settings_digest(work) == "ab74aecd0f5d3fcbe3c830b85e8c37a7"
    old, new = (Work(dim(), network=NetworkSettings(statistics=s)) for s in ("picture", "image"))
    assert settings_digest(old) == settings_digest(new)


def test_failures_are_tried_again(archive, tmp_path):
    bad = archive / "a" / "1.png"
    data = bad.read_bytes()
    bad.write_bytes(data[:30])
    assert len(translate(archive, tmp_path / "out", dim()).failed) == 1
    bad.write_bytes(data)
    again = translate(archive, tmp_path / "out", dim(), resume=True)
    assert [p.name for p in again.done] == ["1.png"]


def test_a_torn_line_loses_only_itself(archive, tmp_path):
    out = tmp_path / "out"
    translate(archive, out, dim())
    path = out / manifest.NAME
    path.write_bytes(path.read_bytes()[:-20])
    result = translate(archive, out, dim(), resume=True)
    assert len(result.done) + len(result.skipped) == 6
    with open(path, "ab") as file:
        file.write(b'{"torn')
    picture(7).save(archive / "new.png")
    assert [p.name for p in translate(archive, out, dim(), resume=True).done] == ["new.png"]
    assert len(translate(archive, out, dim(), resume=True).skipped) == 7


KILLED = """
import sys, time, torch
from i2i.core import files
from i2i.inference.translate import translate
from tests.inference.test_archive import dim
slow = files.os.fsync
files.os.fsync = lambda n: (time.sleep(0.03), slow(n))
translate(sys.argv[1], sys.argv[2], dim(), resume=True)
"""


def test_killed_in_the_middle_and_resumed_gives_the_same_bytes(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for i in range(40):
        picture(i).save(folder / f"{i:02}.png")
    translate(folder, tmp_path / "straight", dim())
    for done in (12,):
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(folder), str(out)], cwd=os.getcwd())
        for _ in range(2000):
            if out.exists() and len([*out.glob("*.png")]) >= done:
                break
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert done <= len([*out.glob("*.png")]) < 40
    translate(folder, out, dim(), resume=True)
    names = [f"{i:02}.png" for i in range(40)]
    assert listed(out) == [manifest.NAME, *names]
    assert all((out / n).read_bytes() == (tmp_path / "straight" / n).read_bytes() for n in names)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_the_command_killed_at_a_random_moment_and_resumed(tmp_path, model, processes):
    seed = random.randrange(1000)  # another moment each time; a failure shows which
    folder, chance, count, bad = tmp_path / "in", random.Random(seed), 320, []
    folder.mkdir()
    for i in range(count):
        path = folder / f"{i:03}.jpg"
        if i % 40:
            picture(i, (24, 16)).save(path, quality=95)
        else:
            bad.append(path.name)
            path.write_bytes([b"", b"no image", bytes(200)][i // 40 % 3])
    words = [sys.executable, "-m", "i2i", "translate", str(folder), "--model", str(model), "--device", "cpu", "--json"]
    straight = subprocess.run([*words, "-o", str(tmp_path / "straight")], capture_output=True, text=True)
    assert straight.returncode == 3, straight.stderr
    out = tmp_path / "out"
    words += ["--processes", str(processes)]
    child = subprocess.Popen([*words, "-o", str(out), "--resume"], stdout=subprocess.PIPE)
    until = chance.randrange(10, count * 3 // 4)
    while child.poll() is None and (not out.exists() or len(os.listdir(out)) < until):
        time.sleep(0.002)
    child.kill()
    child.communicate(timeout=60)  # until all that it started have ended too
    assert child.returncode == -signal.SIGKILL
    assert len([*out.glob("*.jpg")]) < count - len(bad)
    resumed = subprocess.run([*words, "-o", str(out), "--resume"], capture_output=True, text=True)
    assert resumed.returncode == 3, resumed.stderr
    *each, summary = map(json.loads, resumed.stdout.splitlines())
    assert sorted(Path(e["input"]).name for e in each if e["state"] == "failed") == bad
    assert summary["skipped"] >= until // 2
    assert summary["skipped"] + summary["done"] == count - len(bad)
    names = listed(tmp_path / "straight")
    assert listed(out) == names
    assert len(names) == count - len(bad) + 1
    for name in names[1:]:
        assert (out / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    last = {e["output"]: e["state"] for e in entries(out)}
    assert sorted(n for n, state in last.items() if state == "failed") == bad
    assert len(last) == count


PEAK = """
import resource, sys
from i2i.inference.translate import translate
result = translate(*sys.argv[1:4], device="cpu")
print(len(result.done), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_files(tmp_path, model):
    """Each image decoded is 0.2 MiB: 700 of them kept anywhere would be 130."""
    peaks = []
    for count in (100, 700):
        folder = tmp_path / f"in{count}"
        folder.mkdir()
        picture(0, (256, 256)).save(tmp_path / "one.jpg", quality=80)
        for i in range(count):
            os.link(tmp_path / "one.jpg", folder / f"{i:04}.jpg")
        words = [sys.executable, "-c", PEAK, str(folder), str(tmp_path / f"out{count}"), str(model)]
        done, peak = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
        assert int(done) == count
        peaks.append(int(peak))
    assert peaks[1] - peaks[0] < 40


# ---- shards, processes, watching -----------------------------------------------------------------------------------


def test_shards_share_the_work_without_overlap(archive, tmp_path):
    done = []
    for i in (1, 2, 3):
        done += translate(archive, tmp_path / "out", dim(), shard=(i, 3)).done
    assert len(done) == len(set(done)) == 6
    assert len(entries(tmp_path / "out")) == 6
    counts = [sum(in_shard(f"p/{n}.png", (i, 8)) for n in range(4000)) for i in range(1, 9)]
    assert sum(counts) == 4000
    assert max(counts) < 1.2 * min(counts)
    assert in_shard("a/b.png", (2, 4)) == in_shard("a/b.png", (2, 4))
    for bad in ("0/4", "5/4", "a/b", "3", "/"):
        with pytest.raises(I2IError, match="Give I/N"):
            parse_shard(bad)


def test_processes_share_one_record(archive, tmp_path, model):
    (archive / "bad.png").write_bytes(b"no")
    told = []
    result = translate(
        archive, tmp_path / "out", model, processes=2, device="cpu", progress=lambda *a: told.append(a[:2])
    )
    alone = translate(archive, tmp_path / "alone", model, device="cpu")
    assert len(result.done) == 6
    assert [p.name for p, _ in result.failed] == ["bad.png"]
    assert told == [(i, 7) for i in range(1, 8)]
    for a, b in zip(result.done, alone.done):
        assert a.read_bytes() == b.read_bytes()
    assert len(translate(archive, tmp_path / "out", model, device="cpu", resume=True).skipped) == 6
    with pytest.raises(I2IError, match="cannot be shared"):
        translate(archive, tmp_path / "out3", load(model, "cpu"), processes=2)


def test_an_output_is_not_replaced_by_that_of_another_input(tmp_path):
    folder, told, stop = tmp_path / "in", [], threading.Event()
    folder.mkdir()
    picture(0).save(folder / "k.png")
    translate(folder, tmp_path / "out", dim(), record=True)
    kept = (tmp_path / "out" / "k.png").read_bytes()
    (folder / "k.png").unlink()
    picture(1).save(folder / "k.jpg")
    with pytest.raises(I2IError, match=r"was made from k\.png, and .*k\.jpg would replace it"):
        translate(folder, tmp_path / "out", dim(), format="png", resume=True, record=True)
    picture(2).save(folder / "k.png")  # and a watched folder goes on when two that meet are dropped at once

    def tell(outcome):
        told.append((outcome.source.name, outcome.state))
        if len(told) == 2:
            stop.set()

    watch(folder, tmp_path / "hot", dim(), settle=0, poll=0.05, stop=stop, tell=tell, format="png")
    assert sorted(state for _, state in told) == ["done", "failed"]
    assert (tmp_path / "out" / "k.png").read_bytes() == kept


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"dry_run": True}, "A dry run stops at once"),
        ({"processes": 2}, "by one process"),
        ({"ray": "local"}, "by one process"),
    ],
)
def test_what_makes_no_sense_with_a_watched_folder(tmp_path, options, match):
    with pytest.raises(I2IError, match=match):
        watch(tmp_path, tmp_path / "out", dim(), **options)
    with pytest.raises(I2IError, match="only a folder of this machine"):
        watch("s3://bucket/in", tmp_path / "out", dim())


def test_a_watched_folder(tmp_path):
    folder, out, stop, told = tmp_path / "in", tmp_path / "out", threading.Event(), []
    folder.mkdir()
    picture(0).save(folder / "first.png")
    thread = threading.Thread(
        target=watch,
        args=(folder, out, dim()),
        kwargs={"tell": told.append, "stop": stop, "poll": 0.02, "settle": 0.1},
    )

    def wait(number):
        for _ in range(500):
            if len(told) >= number:
                return
            time.sleep(0.02)
        raise AssertionError(told)

    thread.start()
    try:
        wait(1)
        (folder / "sub").mkdir()
        picture(1).save(folder / "sub" / "second.png")
        with open(folder / "slow.png", "wb") as file:  # written slowly: not taken before it rests
            picture(2).save(tmp_path / "x.png")
            for byte in np.array_split(np.frombuffer((tmp_path / "x.png").read_bytes(), np.uint8), 8):
                file.write(byte.tobytes())
                file.flush()
                time.sleep(0.03)
        (folder / "bad.png").write_bytes(b"no")
        wait(4)
        before = (out / "first.png").read_bytes()
        picture(3).save(folder / "first.png")
        wait(5)
        assert (out / "first.png").read_bytes() != before
    finally:
        stop.set()
        thread.join()
    assert [o.source.name for o in told if o.state == "failed"] == ["bad.png"]
    assert {p.relative_to(out).as_posix() for p in out.rglob("*.png")} == {"first.png", "slow.png", "sub/second.png"}
