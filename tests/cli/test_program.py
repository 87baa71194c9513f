"""The program as a whole: help, versions, what goes wrong, and what it leaves to be imported later."""

import json
import os
import subprocess
import sys

import pytest
import typer

from i2i import __version__
from i2i.cli import run
from i2i.core.errors import I2IError
from i2i.training import recipes
from tests.cli.program import ROOT, i2i, start

COMMANDS = ("train", "translate", "evaluate", "generate", "recipes", "models", "data")


def test_help_names_every_command_in_order():
    out, _ = i2i("--help")
    places = [out.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)
    assert "i2i train cyclegan --data photos/ paintings/" in out
    assert i2i("-h")[0] == out


@pytest.mark.parametrize("name", COMMANDS[:4])
def test_help_of_a_command_has_examples(name):
    out, _ = i2i(name, "--help")
    assert f"  i2i {name} " in out[out.index("Examples:") :]
    assert "\x1b" not in out  # no colours outside of a terminal


def test_help_does_not_import_torch():
    code = "import sys, i2i.cli as c\nfor w in (['--help'], ['train', '--help'], ['recipes'], ['data'], ['models']):"
    code += " assert c.run(w) == 0\nheavy = {'torch', 'accelerate', 'albumentations'} & set(sys.modules)"
    code += "\nprint('heavy:', *sorted(heavy))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.rstrip().endswith("heavy:")


def test_python_m_is_the_same_program():
    out, err = start("--version").communicate()
    assert (out, err) == (f"i2i {__version__}\n", "")
    assert i2i("--version")[0] == out


def test_no_words_print_the_help():
    out, err = i2i(code=2)
    assert "Commands:" in out + err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "Error: There is no command 'trian'. Did you mean i2i train"),
        (["train", "pix2pix", "--sise", "3"], "Did you mean --size"),
        (["tra"], "Error: There is no command 'tra'. Did you mean i2i train"),
        (["data", "chek"], "Error: There is no command 'chek'. Did you mean i2i data check? See i2i data --help."),
        (["train", "pix2pix", "--size", "x"], "Error: --size is 'x'. Give a whole number. See i2i train --help."),
        (["train", "pix2pix", "--size=x", "--seed", "1"], "Error: --size is 'x'. Give a whole number."),
        (["train", "pix2pix", "--processes", "0"], "Error: --processes is '0'. Give at least 1."),
        (["generate", "m", "--truncation", "a"], "Error: --truncation is 'a'. Give a number."),
        (["train"], "Error: Name a recipe of `i2i recipes`"),
        (["train", "pix2pix", "--resume", "runs/x"], "give --resume alone"),
        (["recipes", "show", "a", "b"], "Error: Too many words: b. See i2i recipes show --help."),
        (["export", "runs/a", "b.onnx"], "Type: i2i export --model runs/a -o b.onnx"),
        (["export", "runs/my cat"], "Error: No model was given. Type: i2i export --model 'runs/my cat' -o model.onnx"),
        (["models", "pack", "runs/x"], "Error: No output was given. Give --output FILE (or -o FILE)."),
        (["evaluate"], "Error: No model was given. Give --model"),
        (["data", "get"], "Error: Missing argument 'name'. See i2i data get --help."),
        (["evaluate", "--model"], "Error: Option '--model' requires an argument."),
    ],
)
def test_words_that_are_not_understood(words, expected):
    out, err = i2i(*words, code=2)
    assert expected in err
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (I2IError("It is so.", "Do that."), 1, "Error: It is so. Do that.\n"),
        (OSError(28, "No space left on device", "runs/x"), 1, "Error: runs/x: No space left on device.\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "Error: /x: Permission denied.\n"),
        (
            ValueError("of\nmany lines"),
            1,
            "Error: Unexpected ValueError: of many lines. Set I2I_DEBUG=1",
        ),
        (MemoryError(), 1, "Error: The memory is full. Give a smaller --batch"),
        (KeyboardInterrupt(), 130, "Stopped by Ctrl-C.\n"),
        (typer.Abort(), 130, "Stopped by Ctrl-C.\n"),
    ],
)
def test_errors_are_one_sentence(monkeypatch, error, code, expected):
    def fail():
        raise error

    monkeypatch.setattr(recipes, "recipes", fail)
    monkeypatch.delenv("I2I_DEBUG", raising=False)
    out, err = i2i("recipes", code=code)
    assert out == ""
    assert err.startswith(expected)
    assert err.count("\n") == 1
    out, err = i2i("recipes", "--json", code=code)
    assert json.loads(out)["error"] in err
    assert set(json.loads(out)) == {"error", "hint"}


def test_a_traceback_on_request(monkeypatch, capsys):
    monkeypatch.setattr(recipes, "recipes", lambda: 1 / 0)
    monkeypatch.setenv("I2I_DEBUG", "1")
    assert run(["recipes"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_nobody_reads_to_the_end():
    process = start("data", "--json")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("words", [["models"], ["models", "--json"]])
def test_output_that_cannot_be_written(words):
    with open("/dev/full", "w") as full:
        process = start(*words, stdout=full)
        _, err = process.communicate()
    assert process.returncode == 1
    assert err.startswith("Error: ")
    assert "No space left on device." in err
    assert "Traceback" not in err


def test_a_module_with_register_is_a_command(monkeypatch, tmp_path):
    import i2i.cli as package

    (tmp_path / "zebra.py").write_text("def register(app):\n    app.command(name='zebra')(lambda: print('stripes'))\n")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "i2i.cli.zebra", raising=False)
    assert i2i("zebra")[0] == "stripes\n"
