"""Words that users of other programs type, and near misses: each leads to the command that helps."""

import json
import re

import pytest

from i2i import __version__
from i2i.core.errors import nearest
from i2i.core.suggest import neighbors, same_name, similar
from i2i.models import zoo
from i2i.training import recipes
from tests.cli.program import TINY, i2i, picture


def test_help_and_version_are_words_too():
    assert i2i("help") == i2i("--help")
    assert i2i("help", "train") == i2i("train", "--help")
    assert i2i("models", "help", "pack") == i2i("models", "pack", "--help")
    assert i2i("version")[0] == f"i2i {__version__}\n"


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["predict", "a photo.jpg", "--model", "runs/x"], "i2i translate 'a photo.jpg' --model runs/x"),
        (["infer", "in", "-m", "x"], "i2i translate in -m x"),
        (["test", "in", "-m", "x"], "i2i translate in -m x"),
        (["fit", "cyclegan", "a", "b"], "i2i train cyclegan a b"),
        (["cyclegan", "--data", "My Photos", "b"], "i2i train cyclegan --data 'My Photos' b"),
        (["CycleGAN", "a", "b"], "i2i train cyclegan a b"),
        (["cyclegan_horse2zebra", "x.jpg"], "i2i translate x.jpg --model cyclegan_horse2zebra"),
        (["eval", "-m", "x"], "i2i evaluate -m x"),
        (["sample", "-m", "x"], "i2i generate -m x"),
        (["download", "earth"], "i2i data get earth"),
        (["info", "x.onnx"], "i2i models show x.onnx"),
    ],
)
def test_a_habit_leads_to_the_whole_line(words, command):
    out, err = i2i(*words, code=2)
    assert out == ""
    assert err.rstrip("\n").endswith(f"Type: {command}".removeprefix("Type: "))
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["train", "model=pix2pix", "data=earth"], "train pix2pix --data earth"),
        (["train", "data=earth", "method=Cycle-GAN", "lr=0.001", "out=runs/x"],
         "train cyclegan --data earth --set lr=0.001 --out runs/x"),
        (["fit", "model=pix2pix", "data=earth", "epochs=3"], "train pix2pix --data earth --epochs 3"),
        (["--dataroot", "x"], "train cyclegan --data x"),
        (["--dataroot", "./maps", "--name", "m", "--model", "pix2pix", "--direction", "BtoA", "--gpu_ids", "0",
          "--n_epochs", "5", "--lambda_L1", "50", "--no_html"],
         "train pix2pix --data ./maps --direction BtoA --device cuda:0 --epochs 5 --set l1=50 --out runs/m"),
        (["--data", "a b"], "train cyclegan --data 'a b'"),
        (["--resume", "runs/m"], "train --resume runs/m"),
        (["--model", "cyclegan_daynight", "photo.jpg"], "translate photo.jpg --model cyclegan_daynight"),
        (["--model", "biggan_digits"], "generate --model biggan_digits --grid images.png"),
        (["test", "--dataroot", "my maps", "--name", "m", "--model", "pix2pix"], "translate 'my maps' --model runs/m"),
        (["predict", "model=runs/m", "source=a.jpg"], "translate a.jpg --model runs/m"),
        (["translate", "a.jpg", "model=runs/m"], "translate a.jpg --model runs/m"),
        (["train", "pix2pix", "--dataroot", "x", "--name", "y"], "train pix2pix --data x --out runs/y"),
        (["translate", "a.jpg", "--weights", "runs/m"], "translate a.jpg --model runs/m"),
    ],
)  # fmt: skip
def test_lines_of_other_programs_lead_to_ours(words, line):
    out, err = i2i(*words, code=2)
    assert out == ""
    assert err.endswith(f" Type: i2i {line}\n")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["translate", "a.jpg", "--ray", "--model", "x"], "--ray"),
        (["train", "pix2pix", "earth", "--out", "--size=3"], "--out"),
        (["models", "pack", "x", "-o", "--json"], "-o"),
    ],
)
def test_an_option_is_not_the_value_of_another(words, option):
    out, err = i2i(*words, code=2)
    if "--json" in words:
        assert json.loads(out)["error"] == "Option '-o' requires an argument."
    assert err.startswith(f"Error: Option '{option}' requires an argument. ")
    assert f" {option}: " in err  # what may stand there


@pytest.mark.parametrize(
    ("words", "same"),
    [
        (["recipes", "pix2pix"], ["recipes", "show", "pix2pix"]),
        (["recipes", "PIX2PIX", "--json"], ["recipes", "show", "pix2pix", "--json"]),
        (["recipes", "list"], ["recipes"]),
        (["recipes", "list", "--json"], ["recipes", "--json"]),
        (["models", "cyclegan_daynight"], ["models", "show", "cyclegan_daynight"]),
        (["models", "CycleGAN-daynight"], ["models", "show", "cyclegan_daynight"]),
        (["models", "ls"], ["models"]),
        (["data", "Earth"], ["data", "show", "earth"]),
        (["data", "list"], ["data"]),
    ],
)
def test_a_name_alone_shows_and_the_word_list_lists(words, same):
    out, _ = i2i(*words)
    wanted, _ = i2i(*same)
    if "--json" in words and "show" in same:
        out, wanted = (json.dumps(json.loads(text)["settings"]) for text in (out, wanted))
    assert out == wanted


@pytest.mark.parametrize("typed", ["cyclegan", "CycleGAN", "cycle-gan", "cycle_gan"])
def test_a_recipe_in_any_case_with_dashes(typed, sides):
    plan = json.loads(i2i("train", typed, *sides, "--dry-run", "--json", "--size", 32, "--set", "width=4")[0])
    assert (plan["recipe"], plan["method"]) == ("cyclegan", "cyclegan")
    assert plan["out"].startswith("runs/cyclegan-")


@pytest.mark.parametrize(
    "words",
    [
        ["--lr", "1e-3"],
        ["--lr=1e-3"],
        ["lr=1e-3"],
        ["--set", "lr=1e-3"],
    ],
)
def test_a_setting_typed_like_an_option(pairs, words):
    plan = json.loads(i2i("train", "pix2pix", pairs, *words, "--dry-run", "--json", *TINY)[0])
    assert plan["settings"]["lr"] == 1e-3
    assert plan["data"] == [str(pairs)]


def test_switches_and_negative_values(pairs):
    words = ["--save_every", 4, "--sample-every", "6", "--seed", "3", "size=32", f"data={pairs}"]
    plan = json.loads(i2i("train", "pix2pix", *words, "--dry-run", "--json", "--set", "width=4", "--set", "depth=3")[0])
    assert (plan["settings"]["save_every"], plan["settings"]["sample_every"]) == (4, 6)
    assert (plan["settings"]["seed"], plan["settings"]["size"]) == (3, 32)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--verbose"], "There is no option --verbose. See i2i train --help."),
        (["--load_size", "300"], "load is a setting: --set load=VALUE."),
        (["--netG", "unet"], "generator is a setting: --set generator=VALUE."),
        (["--weights", "a.pth"], "Give --init-from."),
        (["--iterations", "300"], "The length of a run is counted in images"),
        (["--gpu", "0"], "Give --device cuda:0."),
        (["--fp16"], "Give --precision fp16."),
        (["--dataroot", "x"], "Give --data."),
        (["--batch-size", "4"], "Give --batch."),
        (["--lrr", "4"], "Did you mean the setting --set lr=VALUE?"),
        (["--learning-rate", "4"], "lr is a setting: --set lr=VALUE."),
        (["--epoch", "4"], "Did you mean --epochs?"),
    ],
)
def test_an_unknown_option_leads_on_and_never_to_nonsense(words, said):
    _, err = i2i("train", "pix2pix", "--data", "earth", *words, code=2)
    assert said in err
    assert "--resume" not in err


def test_parts_of_names_are_found():
    assert similar("monet", zoo.names()) == ["cyclegan_monet2photo", "cyclegan_style_monet"]
    assert similar("vangogh", zoo.names()) == ["cyclegan_style_vangogh"]
    assert "sat2map" not in nearest("horse", zoo.names())
    assert similar("lr", ["--resume", "--precision"]) == []
    assert similar("version", ["train", "translate"]) == []
    assert same_name("Pix2Pix-Earth-Demo", recipes.recipes()) == "pix2pix_earth_demo"
    assert same_name("pix", recipes.recipes()) is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [*((word, []) for word in ("update", "upload", "clean", "remove", "paint", "video", "setup", "plot")),
     ("trian", ["train"]), ("dcotor", ["doctor"]), ("doc", ["doctor"]),
     ("recipis", ["recipes"]), ("modelz", ["models"])],
)  # fmt: skip
def test_only_near_words_are_offered(typed, meant):
    commands = ["data", "demo", "doctor", "export", "models", "plan", "recipes", "study", "train", "translate"]
    assert similar(typed, commands) == meant


def test_names_differ_in_more_than_case_and_dashes():
    for names in (recipes.recipes(), zoo.names()):
        assert len({same_name(name, names) for name in names}) == len(names)


@pytest.mark.parametrize("words", [["data", "check", "Photos"], ["train", "pix2pix", "--data", "Photos"],
                                   ["translate", "my_photos", "-m", "cyclegan_daynight"],
                                   ["train", "cyclegan", "./photo", "earth"]])  # fmt: skip
def test_a_folder_beside_a_mistyped_one(words, tmp_path, monkeypatch):
    picture(tmp_path / "My Photos" / "a.jpg", 1)
    monkeypatch.chdir(tmp_path)
    _, err = i2i(*words, code=1)
    assert "Did you mean 'My Photos'?" in err
    assert neighbors(tmp_path / "nothing" / "of" / "it") == []


def test_a_file_where_folders_are_needed_is_called_a_file(tmp_path, monkeypatch):
    picture(tmp_path / "photo.jpg", 1)
    (tmp_path / "earth").touch()  # is the name of a data set, too
    monkeypatch.chdir(tmp_path)
    for words in (["data", "check", "photo.jpg", "earth"], ["train", "cyclegan", "--data", "photo.jpg", "earth"]):
        assert "photo.jpg is a file. Give a folder" in i2i(*words, code=1)[1]


def test_an_unknown_recipe_tells_what_fits_which_images():
    _, err = i2i("train", "style", "--data", "earth", code=1)
    assert re.search(r"For pairs of images: [^.]*\bpix2pix\b", err)
    assert "For two piles of images without pairs: cut, cyclegan" in err
    assert "dcgan" in err.partition("For one pile of images")[2]


def test_hints_name_what_was_typed(tmp_path, monkeypatch):
    picture(tmp_path / "my photos" / "a.jpg", 1)
    monkeypatch.chdir(tmp_path)
    assert i2i("train", "CycleGAN", code=1)[1].endswith("such as: i2i train cyclegan photos/ paintings/\n")
    assert i2i("train", "pix2pix", code=1)[1].endswith("such as: i2i train pix2pix pairs/\n")
    assert "(--data 'my photos' OTHER)" in i2i("train", "cyclegan", "my photos", code=1)[1]
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "config.yaml").touch()
    assert "To go on with it: i2i train --resume runs/a" in i2i("train", "runs/a", "--epochs", 3, code=2)[1]
    (tmp_path / "my photos" / "none.jpg").touch()
    _, err = i2i("translate", "my photos/none.jpg", "-o", "x.jpg", "-m", "pix2pix_earth", "--device", "cpu", code=1)
    assert "my photos/none.jpg is empty: it has 0 bytes." in err
    _, err = i2i("translate", "my photos", "-m", "cyclegan", code=1)
    assert re.search(r"cyclegan_\w+, or one of \d+ others\?", err)


def test_the_list_of_commands_has_whole_sentences():
    assert "..." not in i2i("--help")[0].partition("Commands:")[2]


def test_an_output_among_the_inputs(tmp_path, monkeypatch):
    picture(tmp_path / "a b.jpg", 1)
    monkeypatch.chdir(tmp_path)
    _, err = i2i("translate", "a b.jpg", "out.jpg", "-m", "cyclegan_daynight", code=1)
    assert err.endswith("If it is the output, type: i2i translate 'a b.jpg' -o out.jpg --model cyclegan_daynight\n")


def test_a_missing_model_names_models_and_the_runs_that_lie_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, err = i2i("translate", "a.jpg", code=2)
    assert "No model was given. Give --model with a name of `i2i models` (colorize_earth, " in err
    (tmp_path / "sngan photo").mkdir()  # holds no model
    assert "sngan photo" not in i2i("generate", "--model", "sngan_photos", code=1)[1]
    for name in ("a", "b c"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "model.safetensors").touch()
    for command in ("translate", "evaluate", "generate", "export"):
        assert "'runs/b c'" in i2i(command, code=2)[1]
    _, err = i2i("translate", "a.jpg", "--model", "runs", code=1)
    assert "Did you mean runs?" in i2i("translate", "a.jpg", "--model", "run", code=1)[1]
    assert "runs holds 2 runs. Give one of them: runs/a or 'runs/b c'." in err
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "config.yaml").touch()
    assert "has saved no model yet. Go on with: i2i train --resume new" in i2i("evaluate", "-m", "new", code=1)[1]
