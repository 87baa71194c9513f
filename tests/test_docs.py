"""The documentation is true: its commands run, its links lead somewhere, and its tables list what there is."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import i2i as library
from i2i.methods import method_names
from i2i.training import recipes
from tests import docs_sandbox as docs
from tests.cli.program import i2i, start
from tests.docs_sandbox import PAGES, ROOT, Block

pytestmark = pytest.mark.skipif(not (ROOT / "README.md").is_file(), reason="an installed package has no documentation")
WITH_BLOCKS = [p for p in PAGES if any(b.language in ("bash", "python") for b in docs.blocks(p))]


def title(page: Path) -> str:
    """A page's name in the list of tests."""
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that every page's commands start from."""
    folder = tmp_path_factory.mktemp("docs")
    docs.furnish(folder)
    return folder


@pytest.fixture
def sandbox(furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the current folder."""
    folder = tmp_path / "box"
    shutil.copytree(furnished, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("I2I_CACHE", str(folder / "cache"))
    return folder


# ---- commands ------------------------------------------------------------------------------------------------------


# pages of 5 s or more
LONG = (
    "start", "unpaired", "evaluation", "troubleshooting", "fine-tuning", "your-own-method", "many-domains",
    "one-folder", "planning", "noise", "label-maps",
)  # fmt: skip
QUICK_PAGES = [pytest.param(p, marks=pytest.mark.slow if p.stem in LONG else (), id=title(p)) for p in WITH_BLOCKS]


@pytest.mark.parametrize("page", QUICK_PAGES)
def test_the_quick_commands_of_a_page_run(page: Path, sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(page, sandbox, monkeypatch, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in WITH_BLOCKS if any(b.slow for b in docs.blocks(p))], ids=title)
def test_all_commands_of_a_page_run(page: Path, sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs.write_video(sandbox / "video.mp4")
    run_page(page, sandbox, monkeypatch, slow=True)


def run_page(page: Path, sandbox: Path, monkeypatch: pytest.MonkeyPatch, slow: bool) -> None:
    """Runs a page's blocks in order, those marked slow if asked for; parses all of them."""
    names: dict[str, Any] = {"__name__": "docs"}
    with small_training(monkeypatch):
        for block in docs.blocks(page):
            try:
                if block.file:
                    (sandbox / block.file).write_text(block.text, encoding="utf-8")
                elif block.language == "bash":
                    run_commands(block, sandbox, not block.needs and (slow or not block.slow))
                elif block.language == "python" and not block.needs and (slow or not block.slow):
                    exec(compile(block.text, block.where, "exec"), names)
            except BaseException as error:
                error.add_note(f"in the block at {block.where}")
                raise


def run_commands(block: Block, sandbox: Path, run: bool) -> None:
    """Checks each line's words, and runs it in its small form if `run`."""
    for line in block.commands:
        words = docs.split(line)
        last = line == block.commands[-1]
        if docs.SHELL.search(line):
            if run:
                run_in_shell(line, sandbox)
        elif words[0] == "i2i":
            if words[1:2] != ["--version"]:
                docs.parsed(words[1:])
            if run and "--watch" in words:
                run_until_interrupted(words[1:], sandbox)
            elif run:
                i2i(*docs.shrunk(words[1:]), code=block.exit if last else 0)
        elif words[:2] == ["python", "-m"] and words[2] == "pytest":
            assert all((ROOT / w).exists() for w in words if w.startswith("tests/")), line
            if run and (sandbox / words[-1]).is_file():  # a test that an earlier command of the page wrote
                run_in_shell(line, sandbox)
        elif words[0] == "python" and words[1].startswith("benchmarks/"):
            if run:
                run_benchmark(words[1:], sandbox)
        elif words[0] == "python" and words[1] == "-c":
            if run:
                exec(words[2], {})
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M), line
        else:
            assert block.needs, f"{block.where}: {line!r} is neither run nor marked"
            check_install(line)


def check_install(line: str) -> None:
    """The extras that a line installs exist."""
    known = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    for extras in re.findall(r"pip install '(?:\.|i2i-toolkit)\[([\w,]+)\]'", line):
        assert set(extras.split(",")) <= set(known), line


def run_in_shell(line: str, sandbox: Path) -> None:
    """A line with pipes or redirections, by bash."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=sandbox, env=docs.environment(sandbox), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    for name in re.findall(r"> (\S+\.jpg)", line):
        assert docs.is_image(sandbox / name)


def run_until_interrupted(words: list[str], sandbox: Path) -> None:
    """A command that waits for ever: until its first output, and then Ctrl-C."""
    output = sandbox / words[words.index("-o") + 1]
    process = start(*words, cwd=sandbox, env=docs.environment(sandbox))
    limit = time.monotonic() + 60
    while not list(output.glob("*.jpg")) and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert list(output.glob("*.jpg")), errors
    assert process.returncode == 130, errors


SHORT = {"--rounds": "1", "--steps": "1", "--images": "100", "--side": "64", "--kill": "1", "--pairs": "4"}


def run_benchmark(words: list[str], sandbox: Path) -> None:
    """A benchmark with its least effort: one case, one round, small images."""
    made = [SHORT.get(before, word) for before, word in zip(["", *words], words)]
    made += ["--pairs", "4"] if "loader" in words[0] else ["--size", "32"] if "fuzz" not in words[0] else ["--json"]
    made += ["--seconds", "1"] if "fuzz" in words[0] or "busy" in words[0] else []
    if "train_step" in words[0]:
        made += ["--batches", "2", "--check", "1"]
    elif "--images" in made and "archive" not in made:
        made[made.index("--images") + 1] = "2"
    if "growth" in words[0]:
        made = [
            words[0],
            *["--counts", "4", "8", "--window", "4", "--files", "8", "--sides", "64", "--processes", "1", "--json"],
        ]
    done = subprocess.run(
        [sys.executable, str(ROOT / made[0]), *made[1:]],
        cwd=sandbox, env=docs.environment(sandbox), capture_output=True, text=True, timeout=540,
    )  # fmt: skip
    assert done.returncode == 0, f"{made}\n{done.stdout}\n{done.stderr}"
    assert [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@contextlib.contextmanager
def small_training(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside, i2i.train trains the method's tiny form for a few images."""
    module = importlib.import_module("i2i.training.train")
    real = module.train

    def small(recipe: str, data: Any = None, out: Any = None, **settings: Any) -> Path:
        settings |= {**docs.tiny_settings(recipe), "load": 0, "images": 4, "batch": 2, "workers": 0, "device": "cpu"}
        return real(recipe, data, out, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(module, "train", small)
        yield


# ---- pages ---------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page: its headings as GitHub and the site name them, and the names that the site documents."""
    text = re.sub(docs.FENCE, "", page.read_text(encoding="utf-8"))
    heads = re.findall(r"^#+ (.*)$", text, re.M)
    made = {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in heads}
    return made | {
        f"{name}{member}" for name in re.findall(r"^::: (\S+)", text, re.M) for member in ("", *members(name))
    }


def members(name: str) -> list[str]:
    """What the site lists below a name that it documents."""
    return [f".{member}" for member in vars(resolved(name)) if not member.startswith("_")]


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_links_and_images_lead_somewhere(page: Path) -> None:
    text = re.sub(docs.FENCE, "", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page if not name else (page.parent / name).resolve()
        assert target.is_file(), f"{title(page)}: there is no {link}"
        if anchor:
            assert anchor in anchors(target), f"{title(page)}: {link} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_block_says_its_language(page: Path) -> None:
    assert {b.language for b in docs.blocks(page)} <= {"bash", "python", "text", "toml", "yaml", "json"}


def test_the_navigation_lists_every_page() -> None:
    listed = set(re.findall(r"[:-] ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M))
    made = {"index.md", "contributing.md", "changelog.md"}
    assert listed == made | {p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")}


def test_what_the_reference_names_can_be_imported() -> None:
    for page in (ROOT / "docs" / "api").glob("*.md"):
        for name in re.findall(r"^::: (\S+)", page.read_text(encoding="utf-8"), re.M):
            assert resolved(name) is not None


def resolved(name: str) -> Any:
    """The module, class or function of a dotted name."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            found: Any = importlib.import_module(".".join(parts[:n]))
            for part in parts[n:]:
                found = getattr(found, part)
            return found
    return None


def test_the_reference_covers_the_public_names_and_modules() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs" / "api").glob("*.md"))
    assert [name for name in library.__all__ if f"`i2i.{name}`" not in text] == []
    for room in ("nets", "losses", "metrics"):
        for file in (ROOT / "i2i" / room).glob("[a-z]*.py"):
            assert f"::: i2i.{room}.{file.stem}\n" in text, f"docs/api/{room}.md: {file.stem} is missing"


def test_the_readme_lists_every_method_and_names_recipes_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \| ", text, re.M)) == set(method_names())
    for page in PAGES:
        named = re.findall(r"i2i (?:train|recipes show) ([a-z]\w+)\b(?![./=])", page.read_text(encoding="utf-8"))
        assert set(named) <= set(recipes.recipes()), title(page)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_the_architecture_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [r for p in (ROOT / "i2i").glob("*/__init__.py") if (r := f"`i2i/{p.parent.name}/`") not in text] == []


FILE = re.compile(r"`((?:i2i|docs|tests|recipes|datasets|models|benchmarks|\.ci)/[\w./*-]*)`(?:: `([^`]+)`)?")


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_files_that_a_page_names_exist_and_hold_what_it_says(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return  # names of earlier versions
    for name, inside in FILE.findall(page.read_text(encoding="utf-8")):
        assert "NAME" in name or list(ROOT.glob(name.rstrip("/"))), f"{title(page)}: there is no {name}"
        if inside:
            assert inside in (ROOT / name).read_text(encoding="utf-8"), f"{title(page)}: {name} holds no {inside}"


def test_the_map_answers_the_five_questions() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## The map")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text, re.M))
    for question in ("JPEG quality", "PatchGAN", "order of the D and G step", "words of an error", "checkpoints kept"):
        (answer,) = (a for q, a in rows.items() if question in q)
        assert any(inside for _, inside in FILE.findall(answer)), question


def test_environment_variables_are_listed() -> None:
    text = (ROOT / "docs" / "environment.md").read_text(encoding="utf-8")
    code = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "i2i").rglob("*.py"))
    read = set(re.findall(r"environ(?:\.get\(|\.setdefault\(|\[)\s*\"([A-Z][A-Z0-9_]+)\"", code))
    named = set(re.findall(r"\bI2I_[A-Z_]+\b", code))
    assert read | named, "none was found"
    assert {name for name in read | named if f"`{name}`" not in text} == set()


def test_exit_codes_are_listed() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8").split("### Exit codes")[1].split("\n### ")[0]
    assert re.findall(r"^\| (\d+) \|", text, re.M) == ["0", "1", "2", "3", "130", "143"]


def test_the_hook_leads_links_into_the_site() -> None:
    linked = runpy.run_path(str(ROOT / "docs" / "_site.py"))["linked"] if importlib.util.find_spec("mkdocs") else None
    if linked is None:
        pytest.skip("mkdocs is not installed")
    text = "[a](docs/start.md) [b](CONTRIBUTING.md) ![c](docs/images/hero.jpg)"
    assert linked(text) == "[a](start.md) [b](contributing.md) ![c](images/hero.jpg)"


# ---- JSON ----------------------------------------------------------------------------------------------------------


def listed_keys(command: str) -> tuple[set[str], set[str]]:
    """(keys, those that may be missing) that docs/json.md lists for a command, or of a model's header."""
    name, head = ("formats.md", "### Header") if command == "header" else ("json.md", f"## {command}")
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    (part,) = re.findall(rf"^{re.escape(head)}\n(.*?)(?=^##|\Z)", text, re.M | re.S)
    keys: set[str] = set()
    optional: set[str] = set()
    for row in re.findall(r"^\| ([^|]+) \|", part, re.M):
        for star, key in re.findall(r"(\*?)`([^`]+)`", row):
            (optional if star else keys).add(key)
    return keys, optional


def keys_of(value: Any, depth: int = 0) -> set[str]:
    """The keys of an object, with those of objects inside it as `a.b`."""
    found = set()
    for key, inner in value.items():
        if isinstance(inner, dict) and inner and depth < 2:
            found |= {f"{key}.{k}" for k in keys_of(inner, depth + 1)}
        else:
            found.add(key)
    return found


def general(keys: set[str]) -> set[str]:
    """Names of networks and settings as the tables write them."""
    keys = {re.sub(r"^networks\.\w+\.", "networks.NAME.", k) for k in keys}
    keys = {re.sub(r"^(intervals|candidates|scores|apart|trials|vigilance)\..*", r"\1", k) for k in keys}
    return {re.sub(r"^(settings|resolved|meanings)\..*", r"\1.NAME", k) for k in keys}


def agree(value: dict[str, Any], command: str, also: set[str] | None = None) -> None:
    keys, optional = listed_keys(command)
    found = general(keys_of(value)) - (also or set())
    assert keys - found == set(), f"{command} has lost keys"
    assert found - keys - optional == set(), f"{command} has keys that docs/json.md does not list"


def printed(*words: str, code: int = 0) -> list[Any]:
    return [json.loads(line) for line in i2i(*words, code=code)[0].splitlines()]


@pytest.mark.slow
def test_json_of_errors_and_of_training(sandbox: Path) -> None:
    agree(printed("train", "nothing", "--json", code=1)[0], "Errors")
    agree(printed("train", "--json", code=2)[0], "Errors")
    agree(printed("train", "pix2pix", "--data", "pairs", "--dry-run", "--json")[0], "i2i train --dry-run")
    agree(printed(*docs.shrunk(["plan", "pix2pix", "--data", "pairs", "--json"]))[0], "i2i plan")
    done = printed(*docs.shrunk(["train", "dcgan", "--data", "faces", "--out", "runs/json", "--json"]))[0]
    agree(done, "i2i train")
    assert done["metrics"] is None


def test_json_of_translating_and_evaluating(sandbox: Path) -> None:
    (sandbox / "in" / "bad.jpg").write_text("no image")
    *each, summary = printed("translate", "in", "-o", "out", "--model", "runs/mine", "--json", code=3)
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    (part,) = re.findall(r"^## i2i translate\n(.*?)(?=^## )", text, re.M | re.S)
    first, second = part.split("at the end one object")
    for objects, rows in ((each, first), ([summary], second)):
        keys = {(star, k) for star, k in re.findall(r"(\*?)`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", rows, re.M)))}
        for value in objects:
            assert {k for star, k in keys if not star} <= set(value) <= {k for _, k in keys}
    assert {e["state"] for e in each} == {"done", "failed"}
    (scores,) = printed("evaluate", "--model", "runs/mine", "--json")
    agree(scores, "i2i evaluate")
    i2i("evaluate", "--model", "runs/mine", "--metrics", "l1", "--save", "earlier")
    (compared,) = printed("compare", "runs/mine", "earlier", "-o", "c.html", "--json")
    agree(compared, "i2i compare")
    agree(printed("study", "new", "runs/mine", "-o", "s.html", "--json")[0], "i2i study new")
    assert set(compared["differences"][0]) == {"a", "b", "metric", "difference", "interval", "clear", "better"}


def test_json_of_lists_and_cards(sandbox: Path) -> None:
    for words, head in (
        (["recipes"], "i2i recipes"),
        (["models"], "i2i models"),
        (["data"], "i2i data"),
    ):
        for value in printed(*words, "--json")[0]:
            agree(value, head)
    (one,) = printed("recipes", "show", "pix2pix_earth_demo", "--json")
    agree(one, "i2i recipes show", also=set(recipes.recipe("pix2pix_earth_demo")) - {"method", "data"})
    assert set(one["settings"][0]) == {"name", "type", "default", "comment", "part", "value"}
    for value in printed("methods", "list", "--json")[0]:
        agree(value, "i2i methods list")
    (one,) = printed("methods", "show", "pix2pix", "--json")
    agree(one, "i2i methods show")
    assert set(one["settings"][0]) == {"name", "type", "default", "comment"}
    agree(printed("data", "show", "maps", "--json")[0], "i2i data")
    agree(printed("data", "get", "earth", "--json")[0], "i2i data get")
    (card,) = printed("models", "show", "pix2pix_earth", "--json")
    assert set(card) == listed_keys("i2i models")[0] - {"path"} | {"addresses"}
    picture = sandbox / "pairs" / "train" / "0.png"
    shutil.copy(picture, sandbox / "pairs" / "test" / "copy.png")
    for value in printed("data", "check", "pairs", "--json", code=1)[0]:
        agree(value, "i2i data check")


@pytest.mark.parametrize("run", ["mine", "night", "faces", "digits"])
def test_headers_hold_the_keys_that_the_specification_lists(run: str, sandbox: Path) -> None:
    (facts,) = printed("models", "show", f"runs/{run}", "--json")
    keys, optional = listed_keys("header")
    optional |= {"latent", "sizes", "standing"}
    assert keys - set(facts) == set()
    assert set(facts) - keys - optional - {"file"} == set()


def test_json_of_the_web_page(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(studio: Any, host: str, port: int, max_upload: float, show: bool, ready: Any, *more: Any) -> None:
        ready("http://127.0.0.1:7860")

    for name in ("i2i.inference.demo", "i2i.inference.demo_server"):  # wherever the command takes it from
        with contextlib.suppress(ModuleNotFoundError):
            monkeypatch.setattr(importlib.import_module(name), "serve", serve, raising=False)
    agree(printed("demo", "--model", "runs/mine", "--json")[0], "i2i demo")


def test_every_command_with_json_has_its_keys_listed() -> None:
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    for name, options in docs.commands():
        assert "--json" not in options or f"## {name}\n" in text or f"`{name}` prints" in text, name


@pytest.mark.slow
def test_json_of_exporting(sandbox: Path) -> None:
    agree(printed("export", "--model", "runs/mine", "-o", "mine.onnx", "--json")[0], "i2i export")


# ---- the other specifications --------------------------------------------------------------------------------------


def test_a_run_folder_holds_what_the_specification_lists(sandbox: Path) -> None:
    run = sandbox / "runs" / "mine"
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert {p.name for p in run.iterdir()} == {
        "config.yaml", "log.jsonl", "samples", "report.html", "checkpoints", "model.safetensors", "best.safetensors",
        "metrics.json", "test.png", ".lock",
    }  # fmt: skip
    assert [p.name for p in run.iterdir() if f"`{p.name}" not in text] == []
    table = re.findall(r"^\| (`.*?`) \| (.*) \|$", text.split("Kinds of lines")[1].split("## Checkpoint")[0], re.M)
    rows = {kind: keys for kinds, keys in table for kind in re.findall(r"`([a-z ]+)`", kinds)}
    for folder in ("mine", "faces"):
        for line in map(json.loads, (sandbox / "runs" / folder / "log.jsonl").read_text().splitlines()):
            extra = set(line) - {"kind", "images", "time", "seconds"}
            known = set(re.findall(r"`([\w ]+)`", rows[line["kind"]]))
            assert extra <= known, line["kind"]


def test_a_checkpoint_holds_what_the_specification_lists(sandbox: Path) -> None:
    from safetensors import safe_open

    folder = sandbox / "runs" / "mine" / "checkpoints" / "000000000004"
    assert {p.name for p in folder.iterdir()} == {"state.safetensors", "state.json", "manifest.json"}
    state = json.loads((folder / "state.json").read_text())
    assert set(state) == {"images", "run", "optimizers", "scalers"}
    assert set(state["run"]) == {"recipe", "data set", "length"}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest) == {"format", "images", "sha256"}
    with safe_open(folder / "state.safetensors", framework="pt") as file:
        assert {name.split("/")[0] for name in file.keys()} <= {"method", "optim", "ema"}  # noqa: SIM118
    best = json.loads((folder.parent / "best.json").read_text())
    assert set(best) == {"checkpoint", "score", "images", "metric"}


def test_a_record_holds_what_the_specification_lists(sandbox: Path) -> None:
    (sandbox / "in" / "bad.jpg").write_text("no image")
    i2i("translate", "in", "-o", "out", "--model", "runs/mine", code=3)
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8").split("## Record")[1].split("## Cache")[0]
    rows = re.findall(r"^\| (\*?)`(\w+)`", text, re.M)
    for line in (sandbox / "out" / ".i2i-manifest.jsonl").read_text().splitlines():
        assert {k for star, k in rows if not star} <= set(json.loads(line)) <= {k for _, k in rows}


# ---- the site and the notebook -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "images/hero.jpg" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_notebook_runs_and_shows_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", docs.environment(tmp_path)["PYTHONPATH"])
    notebook = nbformat.read(ROOT / "docs" / "notebooks" / "first_steps.ipynb", as_version=4)
    shown = [image_cells(notebook)]
    for cell in notebook.cells:
        cell["outputs"] = [] if cell.cell_type == "code" else cell.get("outputs")
    nbclient.NotebookClient(notebook, timeout=1500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert [image_cells(notebook)] == shown
    assert len(shown[0]) >= 4


def image_cells(notebook: Any) -> list[int]:
    """The numbers of the cells that show an image."""
    cells = [(i, o) for i, c in enumerate(notebook.cells) for o in c.get("outputs") or []]
    return [i for i, output in cells if "image/jpeg" in output.get("data", {})]
