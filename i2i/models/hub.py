"""Models on the Hugging Face Hub: `hf:USER/NAME`, or `hf:USER/NAME@REVISION`.

A model there is `model.safetensors` beside a card, README.md, with its images and figures. Only these named files are
ever asked for, and none is executed. Fetching, its cache, tokens, `HF_ENDPOINT` and `HF_HUB_OFFLINE` are the library
huggingface_hub's own (the extra `hub`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from i2i.core.errors import I2IError
from i2i.core.files import atomic_folder
from i2i.core.optional import require
from i2i.models import format as model_file

PREFIX = "hf:"
FILE = "model.safetensors"
SAMPLES = "samples.png"  # the last of a run's samples/
KEPT = ("metrics.json", "test.png", SAMPLES, "config.yaml")  # of a run's folder; they travel with the model
FACTS = {"size": "size of the training images", "images": "images seen", "version": "version of i2i"}
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def split(address: str) -> tuple[str, str | None]:
    """("USER/NAME", revision or None) of hf:USER/NAME[@REVISION]; the prefix may be missing. Raises I2IError."""
    name, at, revision = address.removeprefix(PREFIX).partition("@")
    if not NAME.fullmatch(name) or ".." in name or (at and not re.fullmatch(r"[\w.][\w./-]*", revision)):
        raise I2IError(f"{address!r} is no name of the Hub.", "Give hf:USER/NAME or hf:USER/NAME@REVISION.")
    return name, revision or None


def pull(address: str, output: Path | None = None) -> Path:
    """The file of a model on the Hub, from the library's cache or fetched into it; copied to the new folder `output`
    with its card if one is given.

    Raises I2IError if the name is wrong or unknown, access is refused, nothing answers, `output` exists, or what came
    is no model of ours or damaged."""
    name, revision = split(address)
    if output is not None and output.exists():
        raise I2IError(f"{output} exists.", "Give another folder.")
    library = _library()
    with _told(address):
        path = Path(library.hf_hub_download(name, FILE, revision=revision))
    model_file.read_header(path)
    if output is None:
        return path
    model_file.load(path)  # checks the weights against their checksum
    with atomic_folder(output) as made:
        shutil.copyfile(path, made / FILE)
        for other in ("README.md", *KEPT):
            try:
                found = library.hf_hub_download(name, other, revision=revision)
            except import_module("huggingface_hub.errors").EntryNotFoundError:
                continue
            except Exception as error:  # its own and its transport's
                raise _sentence(address, error) from error
            shutil.copyfile(found, made / other)
    return output / FILE


def push(path: Path, address: str, private: bool = False) -> str:
    """Puts the model file `path` on the Hub with a card made from its header and its run; gives its page.

    Raises I2IError if it is no model of ours, the name is wrong, access is refused or nothing answers."""
    name, revision = split(address)
    model_file.load(path)
    library = _library()
    with tempfile.TemporaryDirectory() as place:
        made = Path(place)
        shutil.copyfile(path, made / FILE)
        for other in KEPT:
            if path.name == FILE and (path.parent / other).is_file():
                shutil.copyfile(path.parent / other, made / other)
        drawn = sorted((path.parent / "samples").glob("*.png")) if path.name == FILE else []
        if drawn:
            shutil.copyfile(drawn[-1], made / SAMPLES)
        (made / "README.md").write_text(card(made, name), encoding="utf-8")
        with _told(address):
            api = library.HfApi()
            page = api.create_repo(name, private=private, exist_ok=True)
            message = f"Model {name.partition('/')[2]}"
            api.upload_folder(repo_id=name, folder_path=place, revision=revision, commit_message=message)
    return str(page)


def card(folder: Path, name: str) -> str:
    """The card, as Markdown, of the model.safetensors in `folder` with what lies beside it."""
    header = model_file.read_header(folder / FILE)
    data = header.get("data", [])
    trained = ", ".join(map(str, data)) if isinstance(data, list) else str(data)
    licence = str(header.get("licence") or "Not stated; the terms of the training images apply.")
    lines = ["---", "library_name: i2i", "pipeline_tag: image-to-image", "tags: [i2i, gan]", "---", ""]
    lines += [f"# {name.partition('/')[2]}", ""]
    lines += [f"{header.get('method', 'A model')} trained on {trained or 'data not stated'}.", ""]
    lines += ["```", f"i2i translate photo.jpg --model {PREFIX}{name}", "```", ""]
    if (folder / "test.png").is_file():
        lines += ["![Inputs, translations and true images](test.png)", ""]
    if (folder / SAMPLES).is_file():
        lines += [f"![What it made at the end of the training]({SAMPLES})", ""]
    facts = [(title, header[key]) for key, title in FACTS.items() if isinstance(header.get(key), int | float | str)]
    if facts:
        lines += ["| | |", "|---|---|", *(f"| {title} | {_cell(value)} |" for title, value in facts), ""]
    if (folder / "metrics.json").is_file():
        found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        rows = {k: v for k, v in found.items() if isinstance(v, dict)} or {"model": found}
        kinds = sorted({k for row in rows.values() for k, v in row.items() if isinstance(v, int | float)})
        lines += ["## Figures", "", f"| | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
        for title, row in rows.items():
            values = (f"{row[k]:.4g}" if isinstance(row.get(k), int | float) else "-" for k in kinds)
            lines += [f"| {title} | {' | '.join(values)} |"]
        lines += [""]
    if (folder / "config.yaml").is_file():
        settings = (folder / "config.yaml").read_text(encoding="utf-8").rstrip()
        lines += ["## Settings", "", "```yaml", settings, "```", ""]
    return "\n".join([*lines, "## Licence", "", licence, ""])


def _cell(value: int | float | str) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")[:200]


def _library() -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    return require("huggingface_hub", "hub", "The Hugging Face Hub")


@contextmanager
def _told(address: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the library's own and its transport's
        raise _sentence(address, error) from error


def _sentence(address: str, error: Exception) -> I2IError:
    """What a failed call means, in one sentence."""
    kinds = {k.__name__ for k in type(error).__mro__}
    status = getattr(getattr(error, "response", None), "status_code", None)
    if kinds & {"OfflineModeIsEnabled"} or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return I2IError(f"{address} is not in the cache, and HF_HUB_OFFLINE is set.", "Unset it to fetch the model.")
    if status in (401, 403) or kinds & {"GatedRepoError", "LocalTokenNotFoundError"}:
        hint = "Check the name; for private and gated models, and to push, log in by `hf auth login` or set HF_TOKEN."
        return I2IError(f"The Hub refused access to {address}, or it does not exist.", hint)
    if "RevisionNotFoundError" in kinds:
        return I2IError(f"{address} has no such revision.", "Give a branch, a tag or a commit.")
    if "RemoteEntryNotFoundError" in kinds:
        return I2IError(f"{address} holds no {FILE}.", "Give a model that `i2i models push` wrote.")
    if "RepositoryNotFoundError" in kinds or status == 404:
        return I2IError(f"There is no {address} on the Hub.", "Check the name.")
    text = " ".join(str(error).split())[:200].rstrip(".")
    return I2IError(f"The Hub did not answer for {address}: {text}.", "Try again later.")
