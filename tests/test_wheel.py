"""What is installed is what is in the checkout."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = ["--set", "width=4", "--set", "d_width=4", "--set", "layers=1", "--set", "depth=3", "--set", "workers=0"]


def _built() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_package_on_disk_is_packed():
    folders = {p.parent.relative_to(ROOT) for p in (ROOT / "i2i").rglob("*.py")}
    listed = {name for name in _built()["packages"] if "._shipped" not in name}
    assert listed == {".".join(f.parts) for f in folders}


def test_every_shipped_file_is_packed():
    built = _built()
    for package, folder in built["package-dir"].items():
        assert package in built["packages"]
        packed = {p for pattern in built["package-data"][package] for p in (ROOT / folder).glob(pattern)}
        missing = {p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts} - packed
        assert not missing


def test_every_other_file_of_the_package_is_packed():
    built = _built()["package-data"]
    packed = {p for name in built if "._shipped" not in name for e in built[name] for p in _folder(name).glob(e)}
    files = {p for p in (ROOT / "i2i").rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    assert files == packed
    assert any(p.name == "report.html.j2" for p in files)


def test_type_checkers_find_the_hints():
    assert (ROOT / "i2i" / "py.typed").is_file()


def _folder(package: str) -> Path:
    return ROOT.joinpath(*package.split("."))


@pytest.mark.slow
def test_a_wheel_in_an_empty_place_trains_on_what_it_carries(tmp_path):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git checkout")
    source = tmp_path / "source"
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", str(tmp_path / "wheels"), str(source)]
    made = subprocess.run(pip, capture_output=True, text=True)
    if made.returncode and "setuptools" in made.stderr and "No matching distribution" in made.stderr:
        pytest.skip("setuptools cannot be had here")
    assert made.returncode == 0, made.stderr
    (wheel,) = (tmp_path / "wheels").glob("i2i_toolkit-*.whl")
    place = tmp_path / "site"
    with zipfile.ZipFile(wheel) as file:
        assert not [n for n in file.namelist() if n.startswith(("tests/", "benchmarks/", "recipes/", "datasets/"))]
        file.extractall(place)
    shutil.rmtree(source)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "I2I_DEBUG")}
    env |= {"PYTHONPATH": str(place), "OMP_NUM_THREADS": "1", "I2I_CACHE": str(tmp_path / "cache")}

    def i2i(*words):
        command = [sys.executable, "-m", "i2i", *words]
        done = subprocess.run(command, cwd=elsewhere, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    code = "import i2i, i2i.core.resources as c; print(i2i.__file__, c.shipped('datasets'), c.shipped('recipes'))"
    where = subprocess.run([sys.executable, "-c", code], cwd=elsewhere, env=env, capture_output=True, text=True)
    assert all(Path(p).is_relative_to(place) for p in where.stdout.split()), where.stdout + where.stderr
    recipes = {r["name"] for r in json.loads(i2i("recipes", "--json"))}
    assert recipes >= {n.removeprefix("recipes/")[:-5] for n in listed.stdout.split("\0") if n.startswith("recipes/")}
    assert Path(i2i("data", "get", "earth").strip()).is_relative_to(place)
    i2i("train", "pix2pix", "--data", "earth", "--size", "16", "--images", "4", "--out", "run", "--quiet", *SMALL)
    assert json.loads((elsewhere / "run" / "metrics.json").read_text())["count"] == 70
    assert (elsewhere / "run" / "model.safetensors").is_file()
    assert "</html>" in (elsewhere / "run" / "report.html").read_text()
