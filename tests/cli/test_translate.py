"""`i2i translate` as a user types it."""

import io
import json
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from i2i import nets
from i2i.cli import translate as command
from i2i.core.errors import I2IError
from i2i.inference.watch import watch
from i2i.media.video_writer import save_video
from i2i.models import format as model_file
from tests.cli import program


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs") / "mine"
    model_file.save(folder / "model.safetensors", {"G": nets.build("resnet", blocks=1, width=2)})
    return folder


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.jpg", "sub/c.png")):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (12, 16, 3), np.uint8)).save(folder / name)
    return folder


def i2i(*arguments, code=0, given=None):
    """Runs the command with the bytes `given` as its input; gives (stdout, stderr)."""
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)
    result = CliRunner().invoke(app, ["translate", *map(str, arguments)], input=given)
    if isinstance(result.exception, I2IError):
        raise result.exception
    assert result.exit_code == code, result.output
    return (result.stdout_bytes if given is not None else result.stdout), result.stderr


def test_one_image(model, photos):
    out, err = i2i(photos / "a.png", "--model", model, "--device", "cpu")
    assert out == ""
    assert "a.mine.png written in" in err
    assert Image.open(photos / "a.mine.png").size == (16, 12)


def test_a_folder_and_nothing_overwritten(model, photos, tmp_path):
    _, err = i2i(photos, "-o", tmp_path / "out", "-m", model, "--size", "8x6")
    assert "3 images translated into" in err
    assert Image.open(tmp_path / "out" / "sub" / "c.png").size == (8, 6)
    before = (tmp_path / "out" / "a.png").read_bytes()
    _, err = i2i(photos, "-o", tmp_path / "out", "-m", model, "--size", "8x6")
    assert "0 images to translate" in err
    assert "3 skipped because they exist" in err
    assert (tmp_path / "out" / "a.png").read_bytes() == before
    i2i(photos, "-o", tmp_path / "out", "-m", model, "--overwrite", "--quiet")
    assert Image.open(tmp_path / "out" / "a.png").size == (16, 12)


def test_bad_images_are_listed_and_the_code_is_3(model, photos, tmp_path):
    (photos / "bad.png").write_bytes(b"no image")
    _, err = i2i(photos, "-o", tmp_path / "out", "-m", model, code=3)
    assert "1 image failed:" in err
    assert "bad.png is not an image" in err
    out, err = i2i(photos, "-o", tmp_path / "out2", "-m", model, "--json", code=3)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line.get("state") for line in lines] == ["done", "done", "failed", "done", None]
    assert lines[-1]["done"] == 3
    assert lines[-1]["failed"] == 1
    assert err == ""


def test_what_does_not_go_together_writes_nothing(model, photos, tmp_path):
    list_file = tmp_path / "list"
    list_file.write_bytes(b"a.png\0b.png")
    for words, said in (
        (["-", "-o", tmp_path / "x.png", "--dry-run"], "translated at once"),
        (["-", "-o", "memory://b/x.png"], "is an address"),
        (["-", "-o", tmp_path / "x.png", "--format", "jpg"], "and the format jpg do not agree"),
        (["-", "-o", tmp_path], "is a folder. Give the name of a file"),
        (["-", "--json"], "cannot both go to standard output"),
        ([photos, "-o", tmp_path / "out", "--overwrite", "--skip-existing"], "Give only one of them"),
        ([photos, "-o", tmp_path / "out", "--size", "0"], "The size 0 is not at least 1 pixel"),
        (
            [photos / "a.png", photos / "b.jpg", "-o", tmp_path / "x.png"],
            "is the name of one file; several outputs",
        ),
        ([photos, "-o", tmp_path / "x.png"], "is the name of one file; several outputs"),
        ([photos, "-o", tmp_path / "x.png", "--watch"], "is the name of one file; several outputs"),
        ([photos / "*.png", photos / "*.jpg", "-o", list_file], "is a file; several outputs need a folder"),
        ([photos, "-o", tmp_path / "out", "--watch", "--dry-run"], "A dry run stops at once; watching does not"),
        ([photos, "-o", tmp_path / "out", "--memory", "-1"], "memory is -"),
        ([photos, "-o", tmp_path / "out", "--memory", "nan"], "memory is nan"),
        ([photos, "-o", tmp_path / "out", "--tile", "64", "--overlap", "-1"], "overlap is -1 pixels"),
        (["--list", list_file, "-o", tmp_path / "out"], "contains NUL bytes"),
    ):
        _, err = program.i2i("translate", *words, "-m", model, code=1)
        assert said in err
    assert [p.name for p in tmp_path.iterdir() if p.name in ("x.png", "out")] == []


def test_standard_input_into_a_file_that_exists(model, photos, tmp_path):
    data, target = (photos / "b.jpg").read_bytes(), tmp_path / "x.png"
    out, _ = i2i("-", "-m", model, "-o", target, "--json", given=data)
    first, summary = map(json.loads, out.splitlines())
    assert first == {"input": "-", "output": str(target), "state": "done"}
    assert (summary["done"], summary["failed"]) == (1, 0)
    target.write_bytes(b"mine")
    out, _ = i2i("-", "-m", model, "-o", target, "--skip-existing", "--json", given=data)
    assert (json.loads(out.splitlines()[0])["state"], target.read_bytes()) == ("skipped", b"mine")
    i2i("-", "-m", model, "-o", tmp_path / "plain", "--format", "webp", given=data)
    assert Image.open(tmp_path / "plain").format == "WEBP"


def test_a_list_by_standard_input(model, photos, tmp_path):
    names = "\0".join(str(photos / n) for n in ("a.png", "b.jpg"))
    i2i("--list", "-", "-0", "-o", tmp_path / "out", "-m", model, given=names.encode())
    assert sorted(p.name for p in (tmp_path / "out").glob("[!.]*")) == ["a.png", "b.jpg"]


def test_a_name_with_a_line_break_stays_one_line(model, tmp_path):
    bad = tmp_path / "two\nlines.png"
    bad.write_bytes(b"no image")
    Image.new("RGB", (16, 16)).save(tmp_path / "good.png")
    _, err = i2i(tmp_path, "-o", tmp_path / "out", "-m", model, code=3)
    assert len(err.splitlines()) == 3
    assert "two\\nlines.png" in err
    _, err = program.i2i("translate", bad, "-o", tmp_path / "alone.png", "-m", model, code=1)
    assert len(err.splitlines()) == 1
    _, err = program.i2i("translate", tmp_path / "no\nsuch.png", "-m", model, code=1)
    assert len(err.splitlines()) == 1


def test_a_size_beyond_the_limit_is_refused_before_it_is_made(model, photos):
    with pytest.raises(I2IError, match=r"would have 133333x100000 pixels, more than the limit of 100,000,000"):
        i2i(photos / "a.png", "-m", model, "--size", "100000")


def test_closed_outputs_are_no_failure(model, photos, tmp_path):
    words = [sys.executable, "-m", "i2i", "translate", str(photos), "-o", str(tmp_path / "out"), "-m", str(model)]
    done = subprocess.run(["sh", "-c", '"$@" --json >&- 2>&-', "sh", *words], check=False)
    assert done.returncode == 0
    assert (tmp_path / "out" / "sub" / "c.png").exists()
    words[4] = "-"
    where = words.index("-o")
    del words[where : where + 2]
    for way, said in ((">&-", "Standard output is closed."), ("<&- >out.png", "the image from standard input")):
        done = subprocess.run(
            ["sh", "-c", f'"$@" {way}', "sh", *words], cwd=tmp_path, input=b"x", capture_output=True, check=False
        )
        assert done.returncode == 1
        assert said in done.stderr.decode()


def test_a_list_with_the_mark_of_tiles(model, photos, tmp_path):
    (tmp_path / "list").write_bytes(b"\xef\xbb\xbf" + str(photos / "a.png").encode() + b"\r\n")
    i2i("--list", tmp_path / "list", "-o", tmp_path / "out", "-m", model)
    assert (tmp_path / "out" / "a.png").exists()


def test_a_tiff_that_names_no_resolution_gets_none(model, tmp_path):
    Image.new("RGB", (16, 16)).save(tmp_path / "a.tif")
    i2i(tmp_path / "a.tif", "-o", tmp_path / "b.tif", "-m", model)
    assert 282 not in Image.open(tmp_path / "b.tif").tag_v2


def test_one_bad_image_by_itself_is_bad_input(model, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    _, err = program.i2i("translate", bad, "-o", tmp_path / "out.png", "-m", model, code=1)
    assert err.startswith(f"Error: {bad} is not an image, or has a format that is not read. Formats: ")
    out, _ = program.i2i("translate", bad, "-o", tmp_path / "out.png", "-m", model, "--json", code=1)
    assert [json.loads(line).get("state") for line in out.splitlines()] == ["failed", None]
    Image.new("RGB", (300, 300)).save(tmp_path / "good.png")
    windows = ("--tile", "16", "--overlap", "16")
    _, err = program.i2i("translate", tmp_path, "-o", tmp_path / "out", "-m", model, *windows, code=1)
    assert err.startswith("Error: Tiles of 16 pixels with an overlap of 16 pixels leave nothing in the middle.")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--size", "big"], "The size is 'big'"),
        (["--size", "1x2x3"], "The size is '1x2x3'"),
        (["--precision", "fp31"], "Did you mean"),
        (["--direction", "BtoA"], "cannot translate BtoA"),
        (["--device", "nothing"], "device 'nothing'"),
    ],
)
def test_what_is_wrong_is_said(model, photos, arguments, match):
    with pytest.raises(I2IError, match=match):
        i2i(photos / "a.png", "-m", model, *arguments)


def test_what_is_missing_is_said(model, tmp_path):
    with pytest.raises(I2IError, match="no file or folder"):
        i2i(tmp_path / "none.png", "-m", model)
    with pytest.raises(I2IError, match="no model at"):
        i2i(tmp_path / "none.png", "-m", tmp_path / "x.safetensors")


def test_standard_input_to_standard_output(model, photos, tmp_path):
    data = (photos / "b.jpg").read_bytes()
    out, _ = i2i("-", "-m", model, given=data)
    made = Image.open(io.BytesIO(out))
    assert (made.format, made.size) == ("JPEG", (16, 12))
    i2i(photos / "b.jpg", "-m", model, "-o", tmp_path / "b.jpg")
    assert (tmp_path / "b.jpg").read_bytes() == out
    out, _ = i2i("-", "-m", model, "--format", "png", given=data)
    assert Image.open(io.BytesIO(out)).format == "PNG"
    assert i2i("-", "-m", model, "-o", "-", "--format", "png", given=data)[0] == out  # no file called "-"
    with pytest.raises(I2IError, match="Only an image from standard input"):
        i2i(photos / "b.jpg", "-m", model, "-o", "-")
    i2i("-", "-m", model, "-o", tmp_path / "c.webp", given=data)
    assert Image.open(tmp_path / "c.webp").format == "WEBP"
    with pytest.raises(I2IError, match=r"c\.webp exists"):
        i2i("-", "-m", model, "-o", tmp_path / "c.webp", given=data)
    with pytest.raises(I2IError, match="standard input is not an image"):
        i2i("-", "-m", model, given=b"text")
    with pytest.raises(I2IError, match="alone"):
        i2i("-", photos, "-m", model, given=data)


def test_lists_of_files(model, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(photos)
    (tmp_path / "list").write_text("a.png\nsub/c.png\n\nmissing.png\n")
    _, err = i2i("--list", tmp_path / "list", "-o", tmp_path / "out", "-m", model, code=3)
    assert "missing.png does not exist" in err
    assert (tmp_path / "out" / "sub" / "c.png").exists()
    (tmp_path / "list0").write_bytes(b"b.jpg\0a.png\0")
    i2i("--list", tmp_path / "list0", "-0", "-o", tmp_path / "out", "-m", model, "--skip-existing")
    assert (tmp_path / "out" / "b.jpg").exists()
    with pytest.raises(I2IError, match="cannot be read"):
        i2i("--list", tmp_path / "no list", "-m", model)
    with pytest.raises(I2IError, match="No image was given"):
        i2i("-m", model)


def test_a_dry_run_says_what_would_be_done(model, photos, tmp_path):
    out, err = i2i(photos, "-o", tmp_path / "out", "-m", model, "--dry-run", "--format", "webp")
    assert f"{photos / 'a.png'} -> {tmp_path / 'out' / 'a.webp'}" in out
    assert "3 images to translate" in err
    assert not (tmp_path / "out").exists()


def test_one_image_that_exists_is_an_error(model, photos, tmp_path):
    i2i(photos / "a.png", "-m", model, "-o", tmp_path / "a.png")
    with pytest.raises(I2IError, match=r"a\.png exists\. Give --overwrite"):
        i2i(photos / "a.png", "-m", model, "-o", tmp_path / "a.png")
    i2i(photos / "a.png", "-m", model, "-o", tmp_path / "a.png", "--skip-existing")


def test_shards_resume_and_tiles(model, photos, tmp_path):
    for i in (1, 2):
        i2i(photos, "-o", tmp_path / "out", "-m", model, "--shard", f"{i}/2")
    _, err = i2i(photos, "-o", tmp_path / "out", "-m", model, "--resume")
    assert "3 skipped because they exist" in err
    with pytest.raises(I2IError, match="The shard is '0/2'"):
        i2i(photos, "-o", tmp_path / "out", "-m", model, "--shard", "0/2")
    big = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8))
    big.save(tmp_path / "big.png")
    i2i(tmp_path / "big.png", "-m", model, "-o", tmp_path / "whole.png", "--tile", "0")
    i2i(tmp_path / "big.png", "-m", model, "-o", tmp_path / "cut.png", "--tile", "64", "--overlap", "24")
    whole, cut = (np.asarray(Image.open(tmp_path / n)).astype(int) for n in ("whole.png", "cut.png"))
    assert np.abs(whole - cut).max() <= 1
    with pytest.raises(I2IError, match="more than the limit of 1,000"):
        i2i("-", "-m", model, "--max-pixels", "1000", given=(tmp_path / "big.png").read_bytes())


def test_watching_needs_two_folders(model, photos, tmp_path):
    with pytest.raises(I2IError, match="takes one input folder and an output folder"):
        i2i(photos, "-m", model, "--watch")
    with pytest.raises(I2IError, match="is not a folder"):
        i2i(photos / "a.png", "-m", model, "-o", tmp_path / "out", "--watch", "--quiet")
    _, err = program.i2i("translate", tmp_path / "nope", "-m", model, "-o", tmp_path / "out", "--watch", code=1)
    assert "Watching" not in err


def test_a_method_file_is_run_only_if_it_is_given(model, photos, tmp_path, monkeypatch):
    run = []
    monkeypatch.setattr("i2i.core.plugins.import_file", lambda path, names=(): run.append(path))
    i2i(photos / "a.png", "-m", model, "-o", tmp_path / "a.png")
    assert run == []
    i2i(photos / "a.png", "-m", model, "-o", tmp_path / "b.png", "--method", "mine.py")
    i2i("-", "-m", model, "-o", tmp_path / "c.png", "--method", "mine.py", given=(photos / "b.jpg").read_bytes())
    assert [str(path) for path in run] == ["mine.py"] * 2


def test_the_statistics_of_batch_norm_can_be_chosen(photos, tmp_path):
    torch.manual_seed(0)
    net = nets.build("resnet", blocks=1, width=2, norm="batch")
    path = model_file.save(tmp_path / "m.safetensors", {"G": net}, {"train_mode_norm": True})
    outputs = {}
    for name in ("auto", "image", "stored"):
        i2i(photos / "a.png", "-m", path, "-o", tmp_path / f"{name}.png", "--statistics", name)
        outputs[name] = (tmp_path / f"{name}.png").read_bytes()
    assert outputs["auto"] == outputs["image"] != outputs["stored"]
    with pytest.raises(I2IError, match="statistics 'none' are unknown"):
        i2i(photos / "a.png", "-m", path, "--statistics", "none")


def test_expert_options_stand_apart_in_the_help():
    out, _ = program.i2i("translate", "--help")
    usual, advanced = out.split("Advanced:")
    for option in ("--null", "--subsampling", "--settle", "--exact", "--memory", "--overlap", "--statistics"):
        assert option not in usual
        assert option in advanced
    assert "--quality" in usual
    assert "--quality" not in advanced


def test_the_program_counts_the_files_that_it_left_out(model, tmp_path):
    program.picture(tmp_path / "in" / "a.png", 1)
    (tmp_path / "in" / "b.psd").write_bytes(b"x")
    (tmp_path / "in" / "c.dng").write_bytes(b"x")
    for out in (tmp_path / "out", tmp_path / "in" / "out", tmp_path / "in" / "out"):  # its record is not counted
        _, errors = i2i(tmp_path / "in", "-m", model, "-o", out)
        assert "2 files were left out: 1 .dng, 1 .psd." in errors
    _, errors = i2i(f"{tmp_path}/in/*", "-m", model, "-o", tmp_path / "by pattern")
    assert "2 files were left out: 1 .dng, 1 .psd." in errors
    lines, errors = i2i(tmp_path / "in", "-m", model, "-o", tmp_path / "json", "--json")
    assert json.loads(lines.splitlines()[-1])["left_out"] == {".dng": 1, ".psd": 1}
    assert "2 files were left out" in errors


def test_the_program_says_how_videos_of_a_folder_are_translated(model, tmp_path, monkeypatch):
    pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my films" / "old").mkdir(parents=True)
    for name in ("a.mp4", "old/b.mp4", "C.MOV"):
        save_video(tmp_path / "my films" / name, [np.zeros((64, 64, 3), np.uint8)] * 2, 25)
    words = ["translate", "my films", "-o", "out dir", "-m", str(model), "--device", "cpu"]
    _, said = program.i2i(*words, code=1)
    assert "There is no image in my films" in said
    program.picture(tmp_path / "my films" / "d.png", 1)
    _, errors = program.i2i(*words)
    assert "3 files were left out: 2 .mp4, 1 .mov. Videos of a folder are translated by a pattern: i2i" in errors
    for line in (said, errors):
        command = shlex.split(line.splitlines()[-1].partition("by a pattern: i2i ")[2])
        assert "3 files translated into 'out dir/'" in program.i2i(*command, "--overwrite")[1]
        made = {p.relative_to("out dir").as_posix() for p in Path("out dir").rglob("*.[mM]*")}
        assert made == {"a.mp4", "old/b.mp4", "C.MOV"}
        shutil.rmtree("out dir")


def test_a_watched_folder_says_what_it_leaves_out(model, tmp_path):
    program.picture(tmp_path / "in" / "a.png", 1)
    (tmp_path / "in" / "b.psd").write_bytes(b"x")
    left_out, stop = [], threading.Event()

    def leave_out(files):
        left_out.append([f.name for f in files])
        if len(left_out) == 2:
            stop.set()

    def tell(outcome):
        (tmp_path / "in" / "c.dng").write_bytes(b"x")

    watch(
        tmp_path / "in",
        tmp_path / "out",
        model,
        tell=tell,
        leave_out=leave_out,
        stop=stop,
        poll=0.01,
        settle=0.02,
        device="cpu",
    )
    assert left_out == [["b.psd"], ["c.dng"]]
