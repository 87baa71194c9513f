"""StarGAN beyond the contract: its domains, two data sets, what it refuses, and its saved models in use."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import i2i
from i2i.core.errors import I2IError
from i2i.data.batch import Shape
from i2i.inference import manifest
from i2i.inference.evaluate_data import settings_of
from i2i.methods._method import Now
from i2i.methods.stargan import StarGAN
from i2i.models import format as model_file
from i2i.nets import Choice, StarGANGenerator
from i2i.nets.domains import Domains
from tests.cli.program import i2i as program
from tests.methods.tiny import Memory

FACES = Domains(("Black_Hair", "Blond_Hair", "Male"), (), (("Black_Hair", "Blond_Hair"),))
BOTH = Domains(FACES.bits, ("happy", "sad"), FACES.exclusive)


def method(domains, **config):
    torch.manual_seed(0)
    small = {k: v for k, v in StarGAN.tiny.items() if k != "size"}
    return StarGAN(StarGAN.Config(**{**small, **config}), Shape(size=16, domains=domains))


# ---- labels ----------------------------------------------------------------------------------------------------------


def test_a_label_has_what_is_named_and_nothing_else():
    assert FACES.label(["Blond_Hair", "Male"]).tolist() == [0, 1, 1]
    assert FACES.label(["male"]).tolist() == [0, 0, 1]
    assert FACES.label().tolist() == [1, 0, 0]
    assert BOTH.label(["sad"]).tolist() == [0, 0, 0, 0, 1, 0, 1]
    assert BOTH.label(["Male"]).tolist() == [0, 0, 1, 0, 0, 1, 0]
    assert Domains(classes=("a", "b")).label(["b"]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("domains", "names", "message"),
    [
        (FACES, ["Blond_Har"], r"There is no domain 'Blond_Har'\. Did you mean Blond_Hair"),
        (FACES, ["Black_Hair", "Blond_Hair"], "Black_Hair and Blond_Hair exclude each other"),
        (BOTH, ["happy", "sad"], "cannot be happy and sad at once"),
        (BOTH, ["happy", "Male"], "happy and Male belong to different data sets"),
    ],
)
def test_labels_that_cannot_be_are_refused(domains, names, message):
    with pytest.raises(I2IError, match=message):
        domains.label(names)


def test_two_domains_of_one_name_are_refused():
    with pytest.raises(I2IError, match="Two domains are called happy"):
        Domains(("happy",), ("happy", "sad"))


def test_the_label_is_visible_to_the_network():
    """Padding with zeros leaves it visible; reflection would remove it: a constant, which the first norm subtracts."""
    torch.manual_seed(0)
    G = StarGANGenerator([], ["a", "b"], [], width=8, blocks=1).eval()
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        a, b = (G.chosen(Choice(to=(name,)))(x) for name in "ab")
        assert (a - b).abs().mean() > 1e-3
        assert torch.equal(G(x), a)
        for layer in G.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.padding_mode = "reflect"
                layer._reversed_padding_repeated_twice = [layer.padding[0]] * 4
        a, b = (G.chosen(Choice(to=(name,)))(x) for name in "ab")
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


# ---- training --------------------------------------------------------------------------------------------------------


def test_two_data_sets_make_a_step_each():
    own = method(BOTH, critic_steps=1).train()
    batch = Memory("attributes", own.shape).fixed(4)
    names = [(name, sorted(terms)) for name, terms in own.step(batch, Now(batch=4))]
    d, g = ["cls", "fake", "gp", "real"], ["adv", "cls", "rec"]
    assert names == [("D", d), ("G", g), ("D", [f"{t}_2" for t in d]), ("G", [f"{t}_2" for t in g])]
    first, second = own.sets(batch)
    assert first.own[:, 3:].tolist() == [[0, 0, 1, 0]] * 4
    assert second.own[:, -2:].tolist() == [[0, 1]] * 4
    assert torch.equal(second.answers, torch.tensor([0, 1, 0, 1]))


def test_the_tricks_look_at_both_data_sets():
    batch = Memory("attributes", Shape(size=16, domains=BOTH)).fixed(4)
    scores, real = method(BOTH).judging(batch, Now())[""]
    assert torch.equal(real, torch.cat([batch.x, batch.y]))
    assert scores(real).shape == (8,)


def test_targets_are_the_batchs_own_labels_in_another_order():
    own = method(FACES)
    ids = torch.arange(8)
    orders = [own.order(ids, Now(seed=seed), "") for seed in range(3)]
    assert all(sorted(order.tolist()) == list(range(8)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 3
    assert torch.equal(orders[0], own.order(ids, Now(), ""))


def test_the_preview_is_a_sheet_of_all_domains():
    own = method(BOTH).eval()
    batch = Memory("attributes", own.shape).fixed(2)
    with torch.no_grad():
        columns = own.preview(batch)
    assert list(columns) == ["input", *BOTH.names]
    assert all(column.shape == batch.x.shape for column in columns.values())


def test_a_mask_keeps_pixels_of_the_input():
    own = method(FACES, mask=True, identity=1.0, upsample="resize", critic_steps=1).train()
    batch = Memory("attributes", own.shape).fixed(4)
    terms = dict(own.step(batch, Now(batch=4)))
    assert sorted(terms["G"]) == ["adv", "cls", "identity", "rec"]
    last = own.G.main[-2]
    with torch.no_grad():
        last.weight[-1].zero_()  # half of each pixel is made, and half is the input's
        half = own.G(batch.x)
        made = 2 * half - batch.x
        assert made.abs().max() <= 1 + 1e-5
        own.G.main[-2].weight.zero_()
        torch.testing.assert_close(own.G(batch.x), batch.x / 2)


@pytest.mark.parametrize(
    ("domains", "message"),
    [(None, "needs images with attributes or classes"), (Domains(classes=("a",)), "the data has 1")],
)
def test_data_without_domains_is_refused(domains, message):
    with pytest.raises(I2IError, match=message):
        method(domains)


def test_a_size_that_cannot_be_halved_so_often_is_refused():
    with pytest.raises(I2IError, match="Give a multiple of 32"):
        method(FACES, d_layers=5)


def test_the_learning_rate_of_the_paper_ends_at_0_and_that_of_the_code_does_not():
    ends = {decay: method(FACES, decay=decay).lr_factor(1.0) for decay in ("paper", "released", "constant")}
    assert ends["paper"] == 0.0
    assert ends["released"] == pytest.approx(0.999)
    assert ends["constant"] == 1.0
    assert method(FACES).lr_factor(0.4) == 1.0
    assert method(FACES).lr_factor(0.75) == pytest.approx(0.5)


# ---- saved models in use ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A saved model, whose header says what may be chosen."""
    return model_file.save(tmp_path_factory.mktemp("star") / "star.safetensors", {"G": method(FACES).G})


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (18, 21 + i, 3), np.uint8)
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{i}.png")
    return tmp_path / "in"


def test_the_file_says_what_may_be_chosen(model):
    assert model_file.read_header(model)["choices"] == ["to"]
    loaded = i2i.load(model, device="cpu")
    assert loaded.saved_network.domains == FACES.names
    image = Image.new("RGB", (20, 20), (90, 20, 200))
    answers = loaded.answers(image, to="all")
    assert list(answers) == list(FACES.names)
    assert np.array_equal(np.asarray(loaded(image)), np.asarray(answers["Black_Hair"]))
    assert loaded(image, to=["Male"]).size == image.size
    with pytest.raises(I2IError, match=r"Call model\.answers"):
        loaded(image, to="all")


def translated(model, folder, name, **options):
    """All outputs of the folder by name, for all domains."""
    result = i2i.translate(folder, folder.parent / name, model, to="all", device="cpu", **options)
    assert not result.failed
    return {p.name: p.read_bytes() for p in sorted((folder.parent / name).glob("*.png"))}


def test_a_folder_goes_into_all_domains_and_batches_change_nothing(model, folder):
    files = translated(model, folder, "one")
    assert len(files) == 3 * 4
    assert translated(model, folder, "batch", batch=3) == files
    lines = (folder.parent / "one" / manifest.NAME).read_text().splitlines()
    assert len({json.loads(line)["output"] for line in lines}) == 12


@pytest.mark.slow
def test_several_processes_write_the_same_files(model, folder):
    assert translated(model, folder, "many", processes=2) == translated(model, folder, "one")


def test_the_commands_say_what_is_wrong(model, folder, monkeypatch):
    monkeypatch.chdir(folder)
    for words, message in (
        (["--to", "Blond_Har"], "There is no domain 'Blond_Har'. Did you mean Blond_Hair?"),
        (["--to", "Black_Hair,Blond_Hair"], "Black_Hair and Blond_Hair exclude each other. Give one of them."),
        (["-n", "8"], "8 answers were asked for, and the model has one answer for each image."),
        (["--steps", "3"], "The model star has no choice of --steps."),
    ):
        _, said = program("translate", "0.png", "-o", "out/", "--model", model, *words, code=1)
        assert message in " ".join(said.split())
    assert not (folder / "out").exists()


def test_evaluation_and_export_take_a_domain(model, folder, tmp_path):
    for i in range(3):
        Image.new("RGB", (20, 16), (80 * i, 40, 200)).save(tmp_path / f"real{i}.png")
    (tmp_path / "real").mkdir()
    for i in range(3):
        (tmp_path / f"real{i}.png").rename(tmp_path / "real" / f"r{i}.png")
    scores = {
        to: i2i.evaluate(model, [folder, tmp_path / "real"], device="cpu", metrics="kid", features="effnet", to=to)
        for to in ("", "Black_Hair", "Male")
    }
    assert scores[""] == scores["Black_Hair"]
    assert scores[""] != scores["Male"]
    with pytest.raises(I2IError, match="There is no domain 'x'"):
        i2i.evaluate(model, [folder, tmp_path / "real"], device="cpu", to="x")


def test_evaluation_divides_one_folder_by_its_table_and_keeps_to_the_list_of_splits(model, tmp_path):
    rows = ["1 -1 -1", "-1 1 1", "-1 -1 -1", "1 -1 1", "-1 1 -1", "-1 -1 1"]
    for i in range(6):
        Image.new("RGB", (16, 16), (40 * i, 40, 200)).save(tmp_path / f"{i}.png")
    lines = [str(len(rows)), " ".join(FACES.bits), *(f"{i}.png {row}" for i, row in enumerate(rows))]
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(lines))
    (tmp_path / "list_eval_partition.txt").write_text("".join(f"{i}.png {0 if i < 3 else 2}\n" for i in range(6)))
    scores = i2i.evaluate(model, tmp_path, device="cpu", metrics="l1", to="Male")
    assert (scores["split"], scores["count"]) == ("test", 1)  # 4.png alone is in the test split and not Male
    assert i2i.evaluate(model, tmp_path, split="train", device="cpu", metrics="l1", to="Male")["count"] == 2


def test_evaluation_cuts_the_middle_out_as_training_did():
    assert settings_of({"size": 16, "center": 12}, "unpaired").center == 12
    assert settings_of({"size": 16}, "unpaired").center == 0


@pytest.mark.slow
def test_an_onnx_file_translates_into_the_domain_that_was_asked_for(model, tmp_path):
    result = i2i.export(model, tmp_path / "male.onnx", to="Male")
    assert result.notes == ("The ONNX file always translates into Male.",)
    x = torch.rand(3, 16, 20) * 2 - 1
    expected = i2i.load(model, device="cpu")(x, to="Male")
    torch.testing.assert_close(i2i.load(tmp_path / "male.onnx")(x), expected, rtol=0, atol=1e-4)
