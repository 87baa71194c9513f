"""Methods of the user's own, from the first try to the shared model: what is wrong with a file is one sentence with its
line, and what is right trains, resumes, and works from its saved model."""

from __future__ import annotations

import copy
import json
import random
import re
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import i2i
from i2i import nets
from i2i.core.errors import I2IError, I2IWarning, MethodNeeded
from i2i.core.user_code import told_with_line
from i2i.data.batch import Batch, Shape
from i2i.methods import Method, Now, _registry, load_method, method_name, method_names
from i2i.methods._check import check_class
from i2i.methods._check_config import check_names
from i2i.models import format as model_file
from i2i.training.loop import Loop
from i2i.training.settings import TrainSettings
from tests.cli.program import i2i as program
from tests.cli.program import make_pairs, picture, start
from tests.methods.own_files import RIGHT, RIGHT_FILES, SENTENCES, STEP_G, WRONG, wrong
from tests.methods.tiny import Memory, batch_of, loop, made, state
from tests.training.toy import Notes

SMALL = ["--size", "16", "--device", "cpu", "--workers", "0", "--set", "batch=2"]


def pair_batch(n: int = 1) -> Batch:
    x = torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Batch(x, -x)


def checked(path: Path) -> Method:
    """What a run does with a file before its first step, in memory."""
    with told_with_line():
        kind = load_method(str(path))
        check_names(kind, ("batch", "seed"))
        check_class(kind)
        method = kind(kind.Config(), Shape(3, 3, 16))
        method.check(pair_batch())
        return method


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(make_pairs(tmp_path_factory.mktemp("own") / "pairs"))


# ---- wrong files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRONG)
def test_each_fault_is_one_sentence_with_the_file_and_its_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "toy.py"
    path.write_text(wrong(name))
    with pytest.raises(I2IError) as told:
        checked(Path("toy.py"))
    assert unnumbered(str(told.value)) == unnumbered(SENTENCES[name])


def unnumbered(text: str) -> str:
    """A text without its measured numbers."""
    return re.sub(r"-?\d\.\d\d\b", "N", text)


def test_a_right_file_passes_and_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "toy.py"
    path.write_text(RIGHT)
    checked(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["toy.py"]  # no __pycache__


@pytest.mark.parametrize("words", [["--dry-run"], []])
@pytest.mark.parametrize(
    "name", ["step yields another name", "a network of torch", "a setting that i2i has", "an error on import"]
)
def test_a_wrong_file_ends_the_program_with_code_1_and_leaves_nothing(
    name: str, words: list[str], pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("toy.py").write_text(wrong(name))
    out, err = program("train", "toy.py", "--data", pairs, "--out", "run", *SMALL, *words, code=1)
    assert (out, err) == ("", f"Error: {SENTENCES[name]}\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["toy.py"]


def test_an_error_in_a_later_step_is_told_with_its_line(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("toy.py").write_text(RIGHT.replace(STEP_G, f"        if now.images > 2:\n            {{}}['gen']\n{STEP_G}"))
    _, err = program("train", "toy.py", "--data", pairs, "--out", "run", "--images", 8, *SMALL, "-q", code=1)
    assert err == "Error: toy.py, line 41, in step: KeyError: 'gen'. The line is: {}['gen']\n"

    Path("toy.py").write_text(RIGHT.replace(STEP_G, STEP_G.replace('"G"', '"G" if now.images < 4 else "gen"')))
    _, err = program("train", "toy.py", "--data", pairs, "--out", "run2", "--images", 8, *SMALL, "-q", code=1)
    assert err == (
        "Error: toy.py, line 40: step yields 'gen', but optimizers() has no optimizer of that name. "
        "It has 'D' and 'G'.\n"
    )


def test_a_generator_needs_its_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = RIGHT_FILES["from noise"].replace('    noise: str = "normal"\n', "")
    Path("toy.py").write_text(text)
    with pytest.raises(I2IError) as told:
        check_class(load_method("toy.py"))
    assert re.fullmatch(
        r"The Config of Toy \(toy.py, line \d+\) has no noise, from which Generate makes its noise\. "
        r'Write `noise: str = "normal"`, or define latent_of\.',
        str(told.value),
    )


def test_a_name_of_version_0_1_is_understood_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "toy.py"
    path.write_text(
        RIGHT.replace("    def infer", "    def rate(self, fraction):\n        return 0.5\n\n    def infer")
    )
    with pytest.warns(I2IWarning, match=r"Toy in .*toy.py defines 'rate', which is now called 'lr_factor'"):
        method = checked(path)
    assert method.lr_factor(0.0) == 0.5


def test_an_import_of_version_0_1_gets_the_statement_to_write(tmp_path: Path) -> None:
    path = tmp_path / "toy.py"
    path.write_text("from i2i.kinds import Swap, adam, numbers\n")
    with pytest.raises(I2IError, match=r"Write `from i2i.methods import TwoWay, adam, sample_ids`\."):
        load_method(str(path))
    path.write_text("import i2i.config\n")
    with pytest.raises(I2IError, match=r"line 1: i2i.config is i2i.core.config since version 0.2. Write `import i2i"):
        load_method(str(path))


def test_a_module_beside_the_file_is_told_apart_from_a_missing_package(tmp_path: Path) -> None:
    (tmp_path / "my_layers_beside.py").write_text("")
    path = tmp_path / "toy.py"
    path.write_text("import my_layers_beside\n" + RIGHT)
    with pytest.raises(
        I2IError, match=r"my_layers_beside.py beside it cannot be imported, because a method is a single"
    ):
        load_method(str(path))


# ---- the check changes nothing -------------------------------------------------------------------------------------


QUICK = ("pix2pix", "cyclegan", "dcgan", "biggan", "stargan")  # of each kind of data
EACH_METHOD = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in method_names()]


@pytest.mark.parametrize("name", EACH_METHOD)
def test_training_is_bit_equal_with_and_without_a_check(name: str, tmp_path: Path) -> None:
    plain, with_check = loop(name, tmp_path / "plain", ema=10.0), loop(name, tmp_path / "checked", ema=10.0)
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    with_check.method.check(batch_of(name))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]  # type: ignore[index]
    assert all(p.grad is None for p in with_check.method.parameters())
    plain.run()
    with_check.run()
    expected, found = state(plain), state(with_check)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


def test_what_a_step_leaves_in_attributes_is_put_back(tmp_path: Path) -> None:
    path = tmp_path / "toy.py"
    lines = (
        "        self.count += 1\n        self.seen.append(fake)\n        self.random.random()\n        self.late = 1\n"
    )
    text = RIGHT.replace(STEP_G, lines + STEP_G)
    start = "        self.count, self.seen, self.random = 0, [], __import__('random').Random(1)\n"
    path.write_text(text.replace("        self.G = ", start + "        self.G = "))
    method: Any = checked(path)
    assert method.count == 0
    assert method.seen == []
    assert method.random.random() == random.Random(1).random()
    assert not hasattr(method, "late")


def test_a_gradient_that_was_there_stays(tmp_path: Path) -> None:
    method = made("pix2pix")
    for p in method.parameters():
        p.grad = torch.ones_like(p)
    kept = {k: p.grad for k, p in method.named_parameters()}
    method.check(batch_of("pix2pix"))
    for key, p in method.named_parameters():
        assert p.grad is kept[key]
        assert bool((p.grad == 1).all())


# ---- right files ---------------------------------------------------------------------------------------------------


def images_for(layout: str, folder: Path) -> list[Path]:
    if layout == "paired":
        return [Path(make_pairs(folder / "pairs"))]
    names = ["a", "b"] if layout == "unpaired" else ["a"]
    for side in names:
        for i in range(6):
            picture(folder / side / f"{i}.png", len(side) * 10 + i)
    return [folder / side for side in names]


ALL_THE_WAY = [pytest.param(name, marks=[] if name == "own modules" else [pytest.mark.slow]) for name in RIGHT_FILES]


@pytest.mark.parametrize("name", ALL_THE_WAY)
def test_a_right_file_goes_all_the_way(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked, trained, resumed without its file, and used from another folder by a copy of its file."""
    monkeypatch.chdir(tmp_path)
    Path("toy.py").write_text(RIGHT_FILES[name])
    layout = load_method("toy.py").needs
    data = [word for folder in images_for(layout, tmp_path) for word in ("--data", folder)]
    program("train", "toy.py", *data, *SMALL, "--dry-run")
    assert not Path("run").exists()
    out, _ = program("train", "toy.py", *data, *SMALL, "--images", 8, "--set", "save_every=4", "--out", "run")
    assert re.search(r"Use it:  i2i (translate photo.jpg|generate .*) --model run --method run/method.py$", out.strip())

    header = model_file.read_header("run/model.safetensors")
    assert header["method"] == "toy.py"
    assert str(tmp_path) not in json.dumps(header)
    assert Path("run/method.py").read_text() == RIGHT_FILES[name]

    # Resumed from the middle, after the file has gone: the same bits.
    whole = model_file.load("run/model.safetensors")
    Path("toy.py").rename("shared.py")
    shutil.rmtree("run/checkpoints/000000000008")
    Path("run/model.safetensors").unlink()
    program("train", "--resume", "run", "-q")
    again = model_file.load("run/model.safetensors")
    for title, network in whole.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(again.networks[title].state_dict()[key], value), key

    # From another folder, by another process, with nothing but the model and the file.
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy("run/model.safetensors", other / "m.safetensors")
    shutil.copy("shared.py", other / "toy.py")
    picture(other / "photo.png", 1, 24, 20)
    monkeypatch.chdir(other)
    if layout == "images":
        words = ["generate", "--model", "m.safetensors", "-n", "2", "-o", "out"]
    else:
        words = ["translate", "photo.png", "-o", "out/photo.png", "--model", "m.safetensors"]
    command = " ".join(words)
    if name != "pix2pix with one more loss":  # whose networks are i2i's own
        refused = fresh(*words)
        assert refused.returncode == 1
        assert refused.stderr == (
            "Error: m.safetensors was trained by a method of its author's own, toy.py, and needs the code in that "
            f"file. If you trust that file, name it, and its code is run: i2i {command} --method toy.py\n"
        )
    done = fresh(*words, "--method", "toy.py")
    assert done.returncode == 0, done.stderr
    assert any(Path("out").iterdir())
    if layout == "paired":
        evaluated = fresh("evaluate", "--model", "m.safetensors", "--data", data[1], "--method", "toy.py", "--json")
        assert json.loads(evaluated.stdout)["model"]["l1"] >= 0, evaluated.stderr
    if layout != "images":
        program("export", "--model", "m.safetensors", "-o", "m.onnx", "--check", other, "--method", "toy.py")
        assert Path("m.onnx").is_file()


def fresh(*words: Any) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, which knows no method file."""
    process = start(*words)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


# ---- the run's copy, and edited files ------------------------------------------------------------------------------


@pytest.fixture
def run(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run of toy.py that has half of its images before it."""
    monkeypatch.chdir(tmp_path)
    Path("toy.py").write_text(RIGHT)
    program("train", "toy.py", "--data", pairs, *SMALL, "--images", 8, "--set", "save_every=4", "--out", "run", "-q")
    shutil.rmtree("run/checkpoints/000000000008")
    return tmp_path / "run"


def test_an_edited_file_is_not_resumed_and_both_files_are_named(run: Path) -> None:
    original = run.parent / "toy.py"
    original.write_text(RIGHT + "# edited\n")
    _, err = program("train", "--resume", "run", code=1)
    assert err == (
        f"Error: {original} has been edited since the run began; run/method.py is the file that it began with. To go "
        "on with that file: i2i train --resume run --set method=run/method.py. To train the edited file, start a new "
        "run with --out.\n"
    )
    program("train", "--resume", "run", "--set", "method=run/method.py", "-q")
    assert (run / "checkpoints/000000000008").is_dir()


def test_an_edited_copy_is_not_resumed(run: Path) -> None:
    (run / "method.py").write_text(RIGHT + "# edited\n")
    _, err = program("train", "--resume", "run", code=1)
    assert err.startswith(f"Error: run/method.py has been edited since the run began; it was copied from {run.parent}")


def test_the_digest_of_the_file_is_a_fact_of_the_run(run: Path) -> None:
    facts = json.loads((run / "checkpoints/000000000004/state.json").read_text())["run"]
    values = yaml.safe_load((run / "config.yaml").read_text())
    assert facts["method file"] == values["method_sha256"] == load_digest(run / "method.py")


def load_digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_model_is_built_from_an_edited_file_with_a_warning(run: Path) -> None:
    edited = run.parent / "edited.py"
    edited.write_text(RIGHT + "# edited\n")
    model = run / "model.safetensors"
    picture(run.parent / "photo.png", 1)
    done = fresh("translate", "photo.png", "-o", "out.png", "--model", model, "--method", edited, "-q")
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        f"Warning: {edited} has been edited since the model was trained with it; the images may differ.\n"
    )


def test_a_header_of_version_0_1_shows_the_files_name_only(run: Path) -> None:
    saved = model_file.load(run / "model.safetensors")
    header = {**saved.header, "method": "/home/ada/toy.py"}
    model_file.save("old.safetensors", saved.networks, header)
    done = fresh("translate", "toy.py", "-o", "out.png", "--model", "old.safetensors")
    assert "a method of its author's own, toy.py, and" in done.stderr
    assert "/home/ada" not in done.stderr


def test_two_contents_of_a_file_and_two_files_of_a_name_live_side_by_side(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "toy.py" for folder in ("one", "two")]
    for i, path in enumerate(paths):
        path.parent.mkdir()
        path.write_text(RIGHT.replace("self.layers(x)", f"self.layers(x) * {1 - i / 2}"))
    kinds = [load_method(str(path)) for path in paths]
    nets = [kind(kind.Config(), Shape(3, 3, 16)).generator for kind in kinds]
    for i, net in enumerate(nets):
        model_file.save(tmp_path / f"{i}.safetensors", {"G": net}, {"method": "toy.py"})
    for i, net in enumerate(nets):
        again = model_file.load(tmp_path / f"{i}.safetensors").networks["G"]
        assert type(again) is type(net)


def test_a_copy_of_a_file_is_the_same_method(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(RIGHT)
    (tmp_path / "b.py").write_text(RIGHT)
    assert load_method(str(tmp_path / "a.py")) is load_method(str(tmp_path / "b.py"))


def test_the_error_that_a_method_is_needed_survives_a_process_boundary() -> None:
    error = copy.copy(MethodNeeded("what", "hint", "toy.py"))
    assert (str(error), error.file) == ("what hint", "toy.py")


def test_accumulated_steps_tell_their_fault_too(tmp_path: Path) -> None:
    """The loop names the fault of any step, also of one that no check has seen."""
    path = tmp_path / "toy.py"
    path.write_text(RIGHT.replace(STEP_G, STEP_G.replace(".mean()", ".mean().item()")))
    kind = load_method(str(path))
    shape = Shape(3, 3, 16)
    settings = TrainSettings(batch=2, accumulate=2, device="cpu")
    data = Memory("paired", shape)
    run = Loop(kind(kind.Config(), shape), data, settings, tmp_path / "run", Notes(), total=2, facts={})
    with pytest.raises(I2IError, match=r"line 40: the term 'l1' of 'G' is a float, not a tensor"):
        run.step(pair_batch(2), Now(batch=2))


def test_warnings_of_i2i_are_one_sentence_on_the_command_line(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("toy.py").write_text(RIGHT.replace("    def infer", "    local = 'the mean'\n\n    def infer"))
    done = fresh("train", "toy.py", "--data", pairs, *SMALL, "--dry-run")
    assert done.returncode == 0
    assert done.stderr == "Warning: Toy in toy.py defines 'local', which is now called 'per_process_note'. Rename it.\n"


def test_a_model_of_an_own_file_in_python(run: Path) -> None:
    translator = i2i.load("run", device="cpu", method="run/method.py")
    assert translator(Image.new("RGB", (20, 16))).size == (20, 16)


def test_the_web_page_takes_a_method_file(run: Path) -> None:
    from i2i.inference.demo import Studio

    assert Studio(["run"], "cpu", method="run/method.py").translator("run").name == "run"


def test_networks_of_an_installed_method_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installing a package is the consent; its networks are known by the method's name and their class."""
    (tmp_path / "their_package.py").write_text(RIGHT)
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("theirs", "their_package:Toy", _registry.GROUP)
    monkeypatch.setattr(_registry, "entry_points", lambda group: [point])
    kind = load_method("theirs")
    method = kind(kind.Config(), Shape(3, 3, 16))
    method.check(pair_batch())
    path = model_file.save(tmp_path / "m.safetensors", {"G": method.generator}, {"method": method_name(kind)})
    assert model_file.read_header(path)["networks"]["G"]["type"] == "theirs.Generator"
    del nets.NETWORKS["theirs.Generator"], sys.modules["their_package"]  # as in a process of its own
    assert i2i.load(path, device="cpu")(Image.new("RGB", (16, 16))).size == (16, 16)
    del nets.NETWORKS["theirs.Generator"], sys.modules["their_package"]


def test_a_network_that_reads_values_while_it_is_built_can_be_saved(tmp_path: Path) -> None:
    path = tmp_path / "toy.py"
    rates = "        self.rates = torch.linspace(0, 1, width).tolist()\n"
    path.write_text(RIGHT.replace("        self.layers = ", rates + "        self.layers = "))
    method = checked(path)
    saved = model_file.save(tmp_path / "m.safetensors", {"G": method.generator}, {"method": "toy.py"})
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert len(model_file.load(saved).networks["G"].rates) == 4
    assert torch.equal(torch.get_rng_state(), before)
