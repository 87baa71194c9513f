"""Models on the Hugging Face Hub: `hf:USER/NAME`, or `hf:USER/NAME@REVISION`.

A model there is `model.safetensors` beside its card README.md, with images and scores. Only the files named here are
ever downloaded, and no code from them is run. The library huggingface_hub (the extra `hub`) does the downloads and the
uploads, and brings its cache, its tokens, and the environment variables HF_ENDPOINT and HF_HUB_OFFLINE.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from i2i.core import escape
from i2i.core.errors import I2IError
from i2i.core.files import atomic_folder, temporary_folder
from i2i.core.optional import require
from i2i.core.reading import has_form, read_json, read_text
from i2i.models import format as model_file

PREFIX = "hf:"
FILE = "model.safetensors"
SAMPLES = "samples.png"  # the newest image of a run's samples/
RUN_FILES = ("metrics.json", "test.png", SAMPLES, "config.yaml")  # of a run's folder; uploaded with its model
FACTS = {"size": "size of the training images", "images": "images seen", "version": "version of i2i"}
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
REVISION = re.compile(r"(?!.*\.\.)(?!.*\.lock(/|$))\w[\w.-]*(/\w[\w.-]*)*", re.ASCII)  # a branch, a tag or a commit
NO_LICENSE = "Not stated. The terms of the training images apply."
MAX_BYTES = 4_000_000_000  # of a model that is downloaded
MOST = 50  # rows and columns of the card's table of scores


def split(address: str) -> tuple[str, str | None]:
    """("USER/NAME", revision or None) of hf:USER/NAME[@REVISION]; the prefix may be missing. Raises I2IError."""
    name, at, revision = address.removeprefix(PREFIX).partition("@")
    if not NAME.fullmatch(name) or ".." in name or (at and not is_revision(revision)):
        raise I2IError(f"{address!r} is not a model's name on the Hub.", "Give hf:USER/NAME or hf:USER/NAME@REVISION.")
    return name, revision or None


def is_revision(text: str) -> bool:
    """True if `text` can be a branch, a tag or a commit; a path out of a folder cannot."""
    return len(text) <= 200 and not text.endswith(".") and REVISION.fullmatch(text) is not None


def pull(address: str, output: Path | None = None) -> Path:
    """The file of a model on the Hub, downloaded unless it is in the library's cache.

    output: a new folder that gets the model, its card and its run's files; the path returned is then inside it.
    Raises I2IError if the name is wrong or unknown, access is refused, the Hub does not answer, the file is larger than
    4 GB, `output` exists, or the file is damaged or not a model of i2i."""
    name, revision = split(address)
    if output is not None and output.exists():
        raise I2IError(f"{output} exists.", "Give another folder.")
    library = _library()
    with _hub_errors(address):
        planned = library.hf_hub_download(name, FILE, revision=revision, dry_run=True)
    if planned.will_download and planned.file_size > MAX_BYTES:
        raise I2IError(
            f"{address} is a file of {planned.file_size / 1e9:,.1f} GB. The largest model that is downloaded has "
            f"{MAX_BYTES / 1e9:,.0f} GB.",
            f"If you trust it, download {FILE} in a browser and give the file's path.",
        )
    with _hub_errors(address):
        path = Path(library.hf_hub_download(name, FILE, revision=revision))
    model_file.read_header(path)
    if output is None:
        return path

    # Copy the model and what lies beside it. Reading the weights compares them with their checksum.
    model_file.read(path)
    with atomic_folder(output) as folder:
        shutil.copyfile(path, folder / FILE)
        for file in ("README.md", *RUN_FILES):
            try:
                downloaded = library.hf_hub_download(name, file, revision=revision)
            except import_module("huggingface_hub.errors").EntryNotFoundError:
                continue
            except Exception as error:  # of the library, or of its transport
                raise _as_i2i_error(address, error) from error
            shutil.copyfile(downloaded, folder / file)
    return output / FILE


def push(path: Path, address: str, private: bool = False) -> str:
    """Uploads the model file `path` with a card made from its header and its run; returns the address of its page.

    private: if the Hub has no such model yet, only its owner may see it. Raises I2IError if the file is damaged or not
    a model of i2i, the name is wrong, access is refused, or the Hub does not answer."""
    name, revision = split(address)
    model_file.read(path)  # compares the weights with their checksum
    library = _library()
    with temporary_folder() as folder:
        _collect(path, folder)
        (folder / "README.md").write_text(card(folder, name), encoding="utf-8")
        with _hub_errors(address):
            api = library.HfApi()
            page = api.create_repo(name, private=private, exist_ok=True)
            message = f"Model {name.partition('/')[2]}"
            api.upload_folder(repo_id=name, folder_path=folder, revision=revision, commit_message=message)
    return str(page)


def _collect(path: Path, folder: Path) -> None:
    """Copies a model file into `folder`, and if it is a run's, the files of that run too."""
    shutil.copyfile(path, folder / FILE)
    if path.name != FILE:
        return
    for file in RUN_FILES:
        if (path.parent / file).is_file():
            shutil.copyfile(path.parent / file, folder / file)
    samples = sorted((path.parent / "samples").glob("*.png"))
    if samples:
        shutil.copyfile(samples[-1], folder / SAMPLES)


def card(folder: Path, name: str) -> str:
    """The model card, in Markdown, of the model.safetensors in `folder`, with the scores and images beside it.

    What the header and the run's files say is shown as text: whoever passes a model on publishes no marks of others."""
    # The head: what it is, how to use it, what it makes.
    header = model_file.read_header(folder / FILE)
    data = header.get("data", [])
    trained_on = ", ".join(map(str, data)) if isinstance(data, list) else str(data)
    generates = header.get("kind") == "generate"
    task = "unconditional-image-generation" if generates else "image-to-image"
    command = "i2i generate --grid images.png" if generates else "i2i translate photo.jpg"
    lines = ["---", "library_name: i2i", f"pipeline_tag: {task}", "tags: [i2i, gan]", "---", ""]
    lines += [f"# {name.partition('/')[2]}", ""]
    method = escape.markdown(header.get("method", "A model"))
    lines += [f"{method} trained on {escape.markdown(trained_on) or 'data not stated'}.", ""]
    lines += ["```", f"{command} --model {PREFIX}{name}", "```", ""]
    if (folder / "test.png").is_file():
        lines += ["![Inputs, translations and true images](test.png)", ""]
    if (folder / SAMPLES).is_file():
        lines += [f"![Samples from the end of the training]({SAMPLES})", ""]

    # The training: its facts, scores and settings.
    facts = [(title, header[key]) for key, title in FACTS.items() if isinstance(header.get(key), int | float | str)]
    if facts:
        lines += ["| | |", "|---|---|", *(f"| {title} | {escape.markdown(value)} |" for title, value in facts), ""]
    if (folder / "metrics.json").is_file():
        lines += ["## Scores", "", *_score_table(folder / "metrics.json"), ""]
    if (folder / "config.yaml").is_file():
        lines += ["## Settings", "", *escape.fenced(read_text(folder / "config.yaml"), "yaml"), ""]

    license_text = escape.markdown(header.get("licence") or NO_LICENSE, most=2000)
    return "\n".join([*lines, "## License", "", license_text, ""])


def _score_table(path: Path) -> list[str]:
    """The rows of a Markdown table of what `i2i evaluate` found, such as | model | 0.0412 | 24.7 |."""
    scores: dict[str, Any] = read_json(path, {str: object})
    rows = {title: row for title, row in scores.items() if isinstance(row, dict)} or {"model": scores}
    columns = sorted({key for row in rows.values() for key, value in row.items() if has_form(value, float)})[:MOST]
    lines = [f"| | {' | '.join(map(escape.markdown, columns))} |", "|---" * (len(columns) + 1) + "|"]
    for title, row in list(rows.items())[:MOST]:
        cells = (f"{row[key]:.4g}" if has_form(row.get(key), float) else "-" for key in columns)
        lines.append(f"| {escape.markdown(title)} | {' | '.join(cells)} |")
    return lines


def _library() -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    return require("huggingface_hub", "hub", "The Hugging Face Hub")


@contextmanager
def _hub_errors(address: str) -> Iterator[None]:
    """Turns errors of huggingface_hub and of its transport into I2IError."""
    try:
        yield
    except Exception as error:
        raise _as_i2i_error(address, error) from error


def _as_i2i_error(address: str, error: Exception) -> I2IError:
    """What a failed call to the Hub means, in one sentence."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(getattr(error, "response", None), "status_code", None)
    if kinds & {"OfflineModeIsEnabled"} or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return I2IError(
            f"{address} is not in the cache, and HF_HUB_OFFLINE is set.", "Unset HF_HUB_OFFLINE to download it."
        )
    if status in (401, 403) or kinds & {"GatedRepoError", "LocalTokenNotFoundError"}:
        return I2IError(
            f"The Hub refused access to {address}, or it does not exist.",
            "Check the name. Private models and uploads need a token: run `hf auth login`, or set HF_TOKEN.",
        )
    if "RevisionNotFoundError" in kinds:
        return I2IError(f"{address} has no such revision.", "Give a branch, a tag or a commit.")
    if "RemoteEntryNotFoundError" in kinds:
        return I2IError(f"{address} has no {FILE}.", "Give a model that `i2i models push` uploaded.")
    if "RepositoryNotFoundError" in kinds or status == 404:
        return I2IError(f"There is no {address} on the Hub.", "Check the name.")
    reason = " ".join(str(error).split())[:200].rstrip(".")
    return I2IError(f"The Hub did not answer for {address}: {reason}.", "Try again later.")
