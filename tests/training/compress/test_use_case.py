"""`i2i compress` from a run's folder to a file, and what it refuses."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from i2i.core.errors import I2IError
from i2i.media import luma
from i2i.methods import load_method
from i2i.models import format as model_file
from i2i.models.load import load
from i2i.training.compress import measures, table
from i2i.training.compress.compress import Request, build, compress
from i2i.training.compress.curve import run_curve
from i2i.training.compress.distilled import Distilled
from i2i.training.compress.original import Original, open_original
from i2i.training.compress.plan import Plan
from i2i.training.compress.student import Budget
from i2i.training.compress.training import set_for_student
from i2i.training.scorer import Scorer
from i2i.training.signals import Interrupted
from tests.cli.program import i2i, make_pairs, picture

TINY = ["--size", 16, "--images", 4, "--batch", 2, "--workers", 0, "--device", "cpu"]
SETTINGS = ["width=8", "d_width=4", "layers=1", "norm=instance", "load=0", "depth=3"]
TRAINING = {"images": 4, "batch": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compress")
    make_pairs(folder / "pairs")
    words = [w for setting in SETTINGS for w in ("--set", setting)]
    i2i("train", "pix2pix", "--data", folder / "pairs", "--out", folder / "run", *TINY, *words)
    return folder / "run"


def test_a_student_is_a_model_like_any_other(run: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.safetensors"
    result = compress(run, small, request=Request(budget=Budget(times=2), training=TRAINING))
    assert result.after.macs <= result.before.macs / 2
    assert result.after.bytes < result.before.bytes / 3
    model = load(small, "cpu")
    assert model(torch.zeros(3, 16, 16)).shape == (3, 16, 16)
    assert model.header["compressed"]["by"] == "distill"
    assert json.loads((tmp_path / "small.run" / "result.json").read_text())["after"]["macs"] == result.after.macs
    with pytest.raises(I2IError, match="exists"):
        compress(run, small, request=Request(training=TRAINING))
    # A student of the file needs a discriminator, which it does not hold.
    with pytest.raises(I2IError, match="holds no discriminator") as caught:
        compress(small, tmp_path / "b.safetensors", [str(run.parent / "pairs")], Request(training=TRAINING))
    assert "--discriminator new" in caught.value.hint
    again = Request(budget=Budget(width=1), discriminator="new", training=TRAINING)
    compress(small, tmp_path / "b.safetensors", [str(run.parent / "pairs")], again)


def test_a_student_is_that_of_its_best_score_and_has_an_average(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.3, 0.2, 0.4])
    monkeypatch.setattr(Scorer, "__call__", lambda self, method: next(scores))
    small, values = tmp_path / "small.safetensors", {**TRAINING, "images": 6, "save_every": 2, "score_every": 2}
    result = compress(run, small, request=Request(training={**values, "precision": "fp32"}, dtype="fp32"))
    assert "The weights are those after 4 images: their lpips was the lowest." in result.notes
    best = model_file.load(tmp_path / "small.run" / "best.safetensors")
    assert best.header["images"] == 4
    kept, written = best.networks["G"].state_dict(), model_file.load(small).networks["G"].state_dict()
    assert all(torch.equal(kept[name], written[name]) for name in kept)
    original = open_original(run, training=TRAINING)
    assert original.run.training.ema == 0
    set_for_student(original, "bf16")
    assert (original.run.training.ema, original.run.training.precision) == (500, "bf16")


def test_a_student_goes_on_from_an_earlier_one(run: Path, tmp_path: Path) -> None:
    first, original = tmp_path / "first.safetensors", open_original(run)
    compress(run, first, request=Request(budget=Budget(width=3), dtype="fp32", training=TRAINING))
    method, _ = build(original, Request(budget=Budget(width=3), init_from=str(first)))
    assert isinstance(method, Distilled)
    saved = model_file.load(first).networks["G"].state_dict()
    assert all(torch.equal(saved[k], v) for k, v in method.student.state_dict().items())
    with pytest.raises(I2IError, match="is not a student of this width"):
        build(original, Request(budget=Budget(width=2), init_from=str(first)))


@pytest.mark.parametrize(
    ("asked", "make", "real"),
    [("auto", "", "teacher"), ("data", "", "data"), ("auto", "grey", "data"), ("teacher", "grey", "teacher")],
)
def test_the_truth_of_given_pairs_is_what_the_model_makes(run: Path, asked: str, make: str, real: str) -> None:
    original = open_original(run)
    original.run.data_settings = replace(original.run.data_settings, make=make)
    method, _ = build(original, Request(budget=Budget(width=3), real=asked))
    assert isinstance(method, Distilled)
    assert method.real == real


@pytest.mark.parametrize(("model", "load"), [("cyclegan_daynight", 72), ("cyclegan_daynight_128", 144)])
def test_images_exceed_their_crops_as_in_the_recipe_of_another_size(model: str, load: int) -> None:
    original = open_original(model, ["daynight"])
    assert original.run.data_settings.load == load
    assert original.header["data"] == ["daynight"]


def test_a_student_of_another_size_says_so(run: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.safetensors"
    compress(run, small, request=Request(discriminator="new", training={**TRAINING, "size": 24}))
    before, after = load(run / "model.safetensors", "cpu").header, load(small, "cpu").header
    assert (before["size"], after["size"]) == (16, 24)
    larger = open_original("cyclegan_daynight", ["daynight"], training={"size": 128}).run
    assert larger.held_out is not None
    assert {data.fixed(1).x.shape[-1] for data in (larger.data, larger.held_out)} == {128}
    assert (larger.shape.size, larger.data_settings.load) == (128, 144)
    with pytest.raises(I2IError, match=r"a multiple of 8"):
        compress(run, tmp_path / "b.safetensors", request=Request(training={**TRAINING, "size": 20}))
    with pytest.raises(I2IError, match="--load is 16, and the training images have 24 pixels"):
        compress(run, tmp_path / "b.safetensors", request=Request(training={**TRAINING, "size": 24, "load": 16}))


@pytest.mark.parametrize("method", ["distill", "prune"])
def test_a_model_that_colors_in_lab_is_compressed(method: str, run: Path, tmp_path: Path) -> None:
    small, data = tmp_path / "small.safetensors", [str(run.parent / "pairs")]
    result = compress("colorize_earth", small, data, Request(method, discriminator="new", training=TRAINING))
    assert result.before.macs > (1.9 if method == "distill" else 0.9) * result.after.macs > 0
    assert result.comparisons == [f"i2i compare colorize_earth {small} --data {data[0]}"]
    model, gray = load(small, "cpu"), torch.linspace(-0.8, 0.8, 256).view(1, 16, 16).expand(3, 16, 16)
    assert model.header["compressed"]["by"] == method
    assert float((luma.gray(model(gray)[None]) - luma.gray(gray[None])).abs().mean()) < 0.05, "the brightness stays"


def test_a_model_from_noise_keeps_its_size(run: Path) -> None:
    model, data = "dcgan_digits", [str(run.parent / "pairs")]
    size = open_original(model, data).run.shape.size
    with pytest.raises(I2IError, match=f"makes images of {size} pixels from noise") as caught:
        open_original(model, data, training={"size": 2 * size})
    assert caught.value.hint == "Leave out --size."
    assert open_original(model, data, training={"size": size}).run.shape.size == size


def test_the_commands_that_compare_a_model_from_noise_work(run: Path, tmp_path: Path) -> None:
    small, data = tmp_path / "small one.safetensors", str(run.parent / "pairs")
    result = compress("dcgan_digits", small, [data], Request(discriminator="new", training=TRAINING))
    assert len(result.comparisons) == 2
    for command in result.comparisons:
        program, *words = shlex.split(command)
        assert program == "i2i"
        assert "from noise beside" in i2i(*words, "--metrics", "kid", "--samples", 8)[0]


def test_images_that_have_moved_are_asked_for_with_the_command_that_takes_them(run: Path, tmp_path: Path) -> None:
    folder, pairs = tmp_path / "a run", tmp_path / "pairs"
    shutil.copytree(run, folder)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace(str(run.parent / "pairs"), str(pairs)))
    with pytest.raises(I2IError, match="The images of this run lay in") as caught:
        open_original(folder)
    command = f"i2i compress --model '{folder}' --data DIR -o small.safetensors"
    assert caught.value.hint == f"If they have moved, say where they are: {command}"
    shutil.copytree(run.parent / "pairs", pairs)
    assert open_original(folder).run.data.count


def test_overwriting_goes_on_after_an_interruption(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, request = tmp_path / "small.safetensors", Request(training={**TRAINING, "images": 2})
    compress(run, small, request=request)
    before = small.read_bytes()

    def disk_full(*args: object, **options: object) -> None:
        raise I2IError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(model_file, "save", disk_full)
        with pytest.raises(I2IError, match="disk is full"):
            compress(run, small, request=request, overwrite=True)
    assert small.read_bytes() == before
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "small.run" / "log.jsonl").read_text().splitlines()]
    assert "resumed" not in kinds  # the finished compression was replaced
    compress(run, small, request=request, overwrite=True)
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "small.run" / "log.jsonl").read_text().splitlines()]
    assert "resumed" in kinds


def test_a_pruned_model_is_sparse_in_its_file_and_after_loading(run: Path, tmp_path: Path) -> None:
    request = Request("prune", Plan(sparsity=0.5), training=TRAINING)
    result = compress(run, tmp_path / "sparse.safetensors", request=request)
    assert result.after.nonzero == pytest.approx(0.5, abs=0.01)
    assert result.after.macs == result.before.macs
    assert model_file.read_header(result.path)["format"] == 2
    weights = [p for p in load(result.path, "cpu").network.parameters() if p.dim() > 1]
    share = sum(int((p == 0).sum()) for p in weights) / sum(p.numel() for p in weights)
    assert share == pytest.approx(0.5, abs=0.01)


def test_without_whole_filters_the_network_is_smaller(run: Path, tmp_path: Path) -> None:
    request = Request("prune", Plan(granularity="filters"), training=TRAINING)
    result = compress(run, tmp_path / "narrow.safetensors", request=request)
    assert result.after.parameters < result.before.parameters / 3
    assert result.after.nonzero == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--method", "prune", "--sparsity", "1"], "The sparsity is 1. Give a number between 0 and 1"),
        (["--width", "99"], "as large as its teacher of width 8, or larger"),
        (["--macs", "1x"], "--macs is '1x'. Give a number above 1"),
        (["--latency", "20"], "--latency is '20'. Give a time with its unit, such as 20ms."),
        (["--method", "shrink"], "--method is 'shrink'."),
        (["--granularity", "rows", "--method", "prune"], "--granularity is 'rows'."),
        (["--schedule", "now"], "--schedule is 'now'."),
        (["--detail", "2"], "--detail is 2, and the teacher has no detail."),
        (["--precision", "fp32", "--method", "prune"], "--precision is an option of a student."),
        (["--direction", "BtoA"], "cannot translate BtoA"),
        (["--table", "--rows", "z"], "There is no row 'z'."),
        (["--real", "photos"], "--real is 'photos'."),
        (["--load", "8"], "--load is 8, and the training images have "),
        (["--augment", "turns"], "The augmentation 'turns' is unknown."),
        (
            ["--method", "prune", "--real", "teacher"],
            "--real, --adversarial, --perceptual and --init-from are for students.",
        ),
        (["--perceptual", "1"], "--perceptual is for models without pairs."),
    ],
)
def test_bad_requests_get_a_sentence(run: Path, tmp_path: Path, words: list[str], sentence: str) -> None:
    _, err = i2i("compress", "--model", run, "-o", tmp_path / "s.safetensors", *words, code=1)
    assert sentence in " ".join(err.split())
    assert not (tmp_path / "s.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--rows", "a,b"], "--rows is an option of the table: give --table, too."),
        (["--table", "--macs", "8x"], "--table says itself how every row is trained: leave out --macs."),
        (["--curve", "m", "--seed", "0", "--sparsity", "0.5"], "--curve trains nothing: leave out --sparsity, --seed."),
        (["--curve", "m", "--table"], "--curve trains nothing: leave out --table."),
    ],
)
def test_options_that_would_not_be_used_are_refused(words: list[str], sentence: str) -> None:
    _, err = i2i("compress", "--model", "pix2pix_earth", "-o", "s", *words, code=2)
    assert sentence in " ".join(err.replace("│", " ").split())


def test_a_depth_that_was_fitted_to_the_size_stays(run: Path, tmp_path: Path) -> None:
    """The generator of a run of 16 pixels has four levels, and one of 32 pixels would have five."""
    words = [w for setting in SETTINGS if setting != "depth=3" for w in ("--set", setting)]
    i2i("train", "pix2pix", "--data", run.parent / "pairs", "--out", tmp_path / "run", *TINY, *words)
    small = tmp_path / "small.safetensors"
    out, _ = i2i("compress", "--model", tmp_path / "run", "-o", small, "--size", 32, "--images", 2)
    assert load(small, "cpu").header["networks"]["G"]["arguments"]["depth"] == 4
    assert f"i2i compare {tmp_path / 'run'} {small} --size 32" in out


def test_rows_of_a_table_of_another_size_are_trained_again(run: Path) -> None:
    facts = [table.facts_of(open_original(run, training={**TRAINING, **t}), Plan()) for t in ({}, {}, {"size": 24})]
    assert facts[0] == facts[1] != facts[2]


def test_a_curve_compares_all_models_at_one_size(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, said, sizes = tmp_path / "small.safetensors", [], []
    compress(run, small, request=Request(discriminator="new", training={**TRAINING, "size": 24}))
    monkeypatch.setattr(measures, "quality", lambda *given: sizes.append(given[2]["size"]) or {})
    models = [str(run), str(small)]
    values = run_curve(models, tmp_path / "curve", tell=said.append).values
    assert "on images of 16 pixels. It is for images of 24: --size 24 compares all there." in said[1]
    larger = run_curve(models, tmp_path / "larger", size=24, tell=said.append).values
    assert "--size" not in said[3]
    assert sizes == [16, 16, 24, 24]
    assert all(larger[name]["macs"] == 2.25 * values[name]["macs"] for name in values)


def test_a_model_without_data_and_an_onnx_file_are_refused(run: Path, tmp_path: Path) -> None:
    _, err = i2i("compress", "--model", run / "model.safetensors", "-o", tmp_path / "s.safetensors", code=1)
    assert "was trained on (pairs) is not here. Name it: i2i compress --model" in " ".join(err.split())
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08")
    with pytest.raises(I2IError, match="is an ONNX file"):
        compress(tmp_path / "m.onnx", tmp_path / "s.safetensors")


def test_a_table_that_was_stopped_keeps_the_rows_that_are_done(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def copied(original: Original, stem: str, *rest: object) -> nn.Module:
        if stem == "d" and len(trained) < 2:
            raise Interrupted(15, "Go on.")
        trained.append(stem)
        return original.build().get_submodule("G")

    scored: list[object] = []
    monkeypatch.setattr(table, "row_network", copied)
    monkeypatch.setattr(measures, "quality", lambda *args: scored.append(args) or {"l1": 0.5 + 0.1 * len(scored)})
    words = (run, tmp_path / "t", None, Request(training=TRAINING), ["b", "d"])
    with pytest.raises(Interrupted):
        table.run_table(*words)
    rows = json.loads((tmp_path / "t" / "table.json").read_text())["rows"]
    assert list(rows) == ["original", "b"]
    trained.append("went on")
    again = table.run_table(*words)
    assert again.values["rows"]["b"] == rows["b"] | {"images/s": again.values["rows"]["b"]["images/s"]}
    assert len(scored) == 3, "the original, b and d, each once"
    assert (tmp_path / "t" / "images.png").is_file()


@pytest.mark.slow
def test_the_table_trains_its_rows_once(run: Path, tmp_path: Path) -> None:
    words = ["compress", "--model", run, "-o", tmp_path / "table", "--table", "--rows", "b,c,l", "--images", 4]
    out, _ = i2i(*words, "--batch", 2)
    assert "self-supervised" in out
    kept = [tmp_path / "table" / name for name in ("b.safetensors", "b.json", "original.json")]
    before = [path.stat().st_mtime_ns for path in kept]
    out, _ = i2i(*words, "--batch", 2, "--seeds", 2)
    assert [path.stat().st_mtime_ns for path in kept] == before
    assert "±" in out
    assert len(json.loads((tmp_path / "table" / "table.json").read_text())["rows"]["b"]["seeds"]["l1"]) == 2
    assert "<img src='data:image/webp" in (tmp_path / "table" / "index.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["wgan", "bridge"])
def test_a_run_of_each_kind_is_pruned_or_refused_in_a_sentence(run: Path, tmp_path: Path, method: str) -> None:
    tiny = load_method(method).tiny
    own = {k: v for k, v in tiny.items() if k != "size"}
    values = {k: ",".join(map(str, v)) if isinstance(v, tuple) else v for k, v in own.items()}
    words = [w for k, v in values.items() for w in ("--set", f"{k}={v}")]
    i2i("train", method, "--data", run.parent / "pairs", "--out", tmp_path / "run", *TINY, *words)
    words = ["compress", "--model", tmp_path / "run", "-o", tmp_path / "s.safetensors", "--images", 2, "--batch", 2]
    out, err = i2i(*words, "--method", "prune", code=int(method == "bridge"))
    assert "trained on 2 images" in out or "without a discriminator. Pruning compares" in " ".join(err.split())
    assert (tmp_path / "s.safetensors").is_file() == (method == "wgan")


def test_a_model_in_lab_is_opened_with_the_network_inside(run: Path) -> None:
    original = open_original("colorize_earth", [str(run.parent / "pairs")], training=TRAINING)
    assert type(original.build().get_submodule("G")).__name__ == "LabColorizer"


def test_a_model_file_whose_inputs_i2i_made_makes_them_again(tmp_path: Path) -> None:
    singles = tmp_path / "photos"
    for i in range(4):
        picture(singles / f"{i}.png", i)
    words = [w for setting in [*SETTINGS, "degrade=grey"] for w in ("--set", setting)]
    i2i("train", "pix2pix", "--data", singles, "--out", tmp_path / "run", *TINY, *words)
    file = tmp_path / "model.safetensors"
    shutil.copy(tmp_path / "run" / "model.safetensors", file)
    data = open_original(str(file), [str(singles)], training=TRAINING).run.data
    assert data.spec.makes == ("grey",)
    batch = data.fixed(2)
    assert torch.equal(batch.x[:, :1], batch.x[:, 2:])
    assert not torch.equal(batch.y[:, :1], batch.y[:, 2:])


@pytest.mark.parametrize("changes", [{"load": 24}, {"augment": "noise"}])
def test_training_images_are_prepared_as_the_user_says(run: Path, changes: dict[str, object]) -> None:
    plain, larger = (open_original(run, training=t).run.data for t in ({}, changes))
    images, crops = (next(iter(data.batches(seed=0))).x for data in (plain, larger))
    assert images.shape == crops.shape == (1, 3, 16, 16)
    assert not torch.equal(images, crops)
    assert not torch.equal(images.flip(-1), crops)
