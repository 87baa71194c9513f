"""Runs that start from the weights of others, and what is said of them."""

import shlex

import pytest
import torch
import yaml
from safetensors.torch import load_file

import i2i
from i2i import nets
from i2i.core.errors import I2IError
from i2i.models import format as model_file
from i2i.training.dry_run import describe
from i2i.training.start import read_start
from i2i.training.train import resolve_resume, resolve_run, resume
from tests.training.test_train import CYCLEGAN, PIX2PIX, fill


def weights(run):
    return load_file(run / "model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    fill(folder / "pairs" / "train", 8, 32)
    return folder / "pairs"


@pytest.fixture(scope="module")
def earlier(pairs):
    return i2i.train("pix2pix", pairs, pairs.parent / "earlier", **{**PIX2PIX, "ema": 4.0})


def test_a_run_starts_from_another_and_says_so(pairs, earlier, tmp_path):
    run = resolve_run("pix2pix", [str(pairs)], tmp_path / "run", {**PIX2PIX, "init_from": str(earlier)})
    assert f"G and D start from the weights of {earlier}." in describe(run)["notes"]
    method = run.build()
    assert all(torch.equal(v, weights(earlier)[f"G.{k}"]) for k, v in method.G.state_dict().items())


def test_lr_0_leaves_the_weights_that_it_started_from(pairs, earlier, tmp_path):
    run = i2i.train("pix2pix", pairs, tmp_path / "run", init_from=earlier, **{**PIX2PIX, "lr": 0.0})
    before, after = weights(earlier), weights(run)
    assert all(torch.equal(after[k], before[k]) for k in before if k.endswith((".weight", ".bias")))
    log = (run / "log.jsonl").read_text()
    assert f"G and D start from the weights of {earlier}." in log


def test_it_is_recorded_repeated_and_resumed(pairs, earlier, tmp_path):
    settings = {**PIX2PIX, "images": 4, "save_every": 2}
    run = i2i.train("pix2pix", pairs, tmp_path / "run", init_from=earlier, **settings)
    values = yaml.safe_load((run / "config.yaml").read_text())
    assert values["init_from"] == str(earlier)
    again = i2i.train(**{**values, "out": tmp_path / "again"})
    assert same(weights(run), weights(again))

    # A resumed run needs the other one no more.
    for checkpoint in sorted((run / "checkpoints").glob("0*"))[1:]:
        for file in checkpoint.iterdir():
            file.unlink()
    before = weights(run)
    (run / "model.safetensors").unlink()
    assert same(weights(resume(run)), before)


def test_a_start_that_changed_is_not_taken_for_the_old_one(pairs, earlier, tmp_path):
    model = tmp_path / "m.safetensors"
    model.write_bytes((earlier / "model.safetensors").read_bytes())
    run = i2i.train("pix2pix", pairs, tmp_path / "run", init_from=model, **PIX2PIX)
    network = model_file.load(model).networks["G"]
    torch.nn.init.zeros_(next(network.parameters()))
    model_file.save(model, {"G": network})
    with pytest.raises(I2IError, match=r"The weights of .* have changed since the run began with them\. Give the old"):
        resolve_run(str(run / "config.yaml"), None, tmp_path / "again")
    resolve_run(str(run / "config.yaml"), None, tmp_path / "again", {"init_from": str(model)})
    resolve_resume(run)


def test_the_hint_of_a_model_that_does_not_fit_is_settings_that_fit(pairs, earlier, tmp_path):
    plain = {k: v for k, v in PIX2PIX.items() if k not in ("width", "depth")}
    with pytest.raises(I2IError) as caught:
        resolve_run("pix2pix", [str(pairs)], tmp_path / "run", {**plain, "init_from": str(earlier)}).build()
    assert "does not fit this run: G: model.model.0.weight is 4x3x4x4 in the model and 64x3x4x4 here." in str(
        caught.value
    )
    words = shlex.split(caught.value.hint.partition(": ")[2])
    given = dict(word.split("=") for word in words if word != "--set")
    assert given == {"depth": "3", "width": "4"}
    resolve_run("pix2pix", [str(pairs)], tmp_path / "run", {**plain, **given, "init_from": str(earlier)}).build()


def test_a_generator_of_another_kind_is_named_with_its_settings(pairs, earlier, tmp_path):
    sides = [str(fill(tmp_path / side, 3)) for side in ("a", "b")]
    with pytest.raises(I2IError) as caught:
        resolve_run("cyclegan", sides, tmp_path / "run", {**CYCLEGAN, "init_from": str(earlier)}).build()
    assert "--set generator=unet" in caught.value.hint


def test_a_model_without_a_generator_is_refused(tmp_path, pairs):
    torch.save(nets.build("patchgan", channels=6, layers=1, width=4).state_dict(), tmp_path / "latest_net_D.pth")
    values = {**PIX2PIX, "init_from": str(tmp_path / "latest_net_D.pth")}
    run = resolve_run("pix2pix", [str(pairs)], tmp_path / "run", values)
    with pytest.raises(I2IError, match=r"latest_net_D\.pth holds D, but no G, the generator of this method\."):
        run.build()


def test_a_folder_of_the_authors_gives_each_network_its_role(tmp_path):
    """Their D_A judges what G_A makes: images of the side B, our y."""
    roles = {"G_A": "G", "G_B": "F", "D_A": "D_y", "D_B": "D_x"}
    generator = {"channels_in": 3, "channels_out": 3, "blocks": 1, "width": 4}
    for seed, name in enumerate(roles):
        torch.manual_seed(seed)
        if name[0] == "G":
            net = nets.build("resnet", **generator)
        else:
            net = nets.build("patchgan", channels=3, layers=1, width=4, norm="instance")
        for epoch in ("5", "latest"):
            with torch.no_grad():
                next(net.parameters()).add_(0.0 if epoch == "latest" else 1.0)
            torch.save(net.state_dict(), tmp_path / f"{epoch}_net_{name}.pth")
    sides = [str(fill(tmp_path / side, 3)) for side in ("a", "b")]
    values = {**CYCLEGAN, "init_from": str(tmp_path)}
    run = resolve_run("cyclegan", sides, tmp_path / "run", values)
    method = run.build()
    for name, role in roles.items():
        expected = torch.load(tmp_path / f"latest_net_{name}.pth")
        state = getattr(method, role).state_dict()
        assert all(torch.equal(expected[k], state[k]) for k in expected), name
    assert run.start_notes == [f"G, F, D_y and D_x start from the weights of {tmp_path}."]

    one = resolve_run("cyclegan", sides, tmp_path / "run", {**values, "init_from": str(tmp_path / "5_net_G_B.pth")})
    with pytest.raises(I2IError, match=r"5_net_G_B\.pth holds F, but no G"):
        one.build()
    plain = tmp_path / "mine.pth"
    plain.write_bytes((tmp_path / "latest_net_G_A.pth").read_bytes())
    one = resolve_run("cyclegan", sides, tmp_path / "run", {**values, "init_from": str(plain)})
    one.build()
    said = f"G starts from the weights of {plain}. F, D_y and D_x start with new weights, because they are not in it."
    assert one.start_notes == [said]

    both = {
        name: torch.load(tmp_path / f"latest_net_{file}.pth") for name, file in (("G_A2B", "G_A"), ("G_B2A", "G_B"))
    }
    torch.save(both, tmp_path / "both.pth")  # as another program has them
    one = resolve_run("cyclegan", sides, tmp_path / "run", {**values, "init_from": str(tmp_path / "both.pth")})
    method = one.build()
    for role, state in (("G", both["G_A2B"]), ("F", both["G_B2A"])):
        assert all(torch.equal(state[k], v) for k, v in getattr(method, role).state_dict().items()), role


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No model and no file is called 'nothing'."),
        (b"", "is empty: it was cut short."),
        (b"<html><body>", "is a web page (HTML), not a model"),
        (b"\x80\x02abc", "is damaged, or it is not a checkpoint of PyTorch."),
    ],
)
def test_what_is_no_model_is_one_sentence(pairs, tmp_path, content, said):
    source = "nothing"
    if content is not None:
        source = str(tmp_path / "odd.pth")
        (tmp_path / "odd.pth").write_bytes(content)
    with pytest.raises(I2IError) as caught:
        resolve_run("pix2pix", [str(pairs)], tmp_path / "run", {**PIX2PIX, "init_from": source})
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_run_that_saved_nothing_says_how_to_go_on(pairs, earlier, tmp_path):
    empty = tmp_path / "my empty run"
    empty.mkdir()
    (empty / "config.yaml").write_bytes((earlier / "config.yaml").read_bytes())
    with pytest.raises(I2IError, match=r"has saved no weights yet\. Go on with: i2i train --resume '.*my empty run'"):
        read_start(str(empty))


def test_a_shipped_model_starts_its_own_recipe(tmp_path):
    for name in ("cyclegan_daynight", "pix2pix_emoji", "pix2pix_earth"):
        sides = [fill(tmp_path / name / "train", 2, 512, 256)]
        if name.startswith("cyclegan"):
            sides = [fill(tmp_path / name / side, 2, 64, 64) for side in ("a", "b")]
        run = resolve_run(name, list(map(str, sides)), tmp_path / "run", {"init_from": name})
        run.build()
        assert run.start_notes[0].startswith("G")
