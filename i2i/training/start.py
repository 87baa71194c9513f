"""Starting a run from the weights of another model: each network takes those of its role, where they fit.

The weights come from a run's folder (its newest checkpoint, with the discriminators), a saved model, a name of
`i2i models`, or files of the authors of pix2pix, CycleGAN and CUT. Optimizers and schedule are new.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from i2i.core.errors import I2IError
from i2i.core.files import kind_of
from i2i.core.progress import Progress
from i2i.core.reading import read_yaml
from i2i.methods._method import Method
from i2i.models import content, load, pth, pth_ways
from i2i.models import format as model_file
from i2i.models.header import NETWORK_OF
from i2i.models.weights import State, digest_of
from i2i.training import checkpoint as checkpoints

# The names in the authors' files by the role here. Their D_A judges what G_A makes, which is the side B.
ROLE_OF = {"G": "G", "G_A": "G", "G_B": "F", "D": "D", "D_A": "D_y", "D_B": "D_x", "F": "H"}
AUTHORS_FILE = re.compile(r"(latest|\d+)_net_(G_A|G_B|D_A|D_B|G|D|F)\.(?:pth.*|pt|ckpt|bin)$")


@dataclass(frozen=True)
class Start:
    """The weights of another model, by the roles of its networks."""

    name: str  # as the user named it
    states: dict[str, State]
    arguments: dict[str, dict[str, Any]] = field(default_factory=dict)  # of the networks' constructors, where known

    @property
    def digest(self) -> str:
        """SHA-256 of all weights."""
        return digest_of({f"{role}.{k}": v for role, state in self.states.items() for k, v in state.items()})

    def into(self, method: Method) -> list[str]:
        """Copies the weights into the networks of the same role, and returns sentences that say which, and which not.

        Raises I2IError with the shapes if a generator does not fit, or if there is none."""
        taken, absent, sentences = [], [], []
        for role, network in method.networks().items():
            if next(network.parameters(), None) is None:  # a store of images has no weights
                continue
            if role not in self.states:
                absent.append(role)
                continue
            misfit = _misfit(network.state_dict(), self.states[role])
            if not misfit:
                network.load_state_dict(self.states[role])
                taken.append(role)
            elif role in method.averaged:
                raise self._unfitting(method, role, misfit)
            else:
                sentences.append(f"{role} starts with new weights, because the saved ones do not fit: {misfit}.")
        generator = method.averaged[0]
        if generator not in taken:
            raise I2IError(
                f"{self.name} holds {_listed(list(self.states))}, but no {generator}, the generator of this method.",
                "Give a model of the same method, or of one with the same generator.",
            )
        head = f"{_listed(taken)} {_start(taken)} from the weights of {self.name}."
        if absent:
            sentences.append(f"{_listed(absent)} {_start(absent)} with new weights, because they are not in it.")
        return [" ".join([head, *sentences])]

    def _unfitting(self, method: Method, role: str, misfit: str) -> I2IError:
        """The error for a generator that does not fit, with the settings that make it fit where they are known."""
        known, config = self.arguments.get(role, {}), method.config
        own = {**getattr(method.networks()[role], "arguments", {}), "generator": getattr(config, "generator", None)}
        forms = [k for k in known if hasattr(config, k) and (k in own or k in ("blocks", "depth"))]
        changes = {k: known[k] for k in sorted(forms) if known[k] != own.get(k) and known[k] is not None}
        words = [f"--set {k}={shlex.quote(_text(v))}" for k, v in changes.items()]
        hint = f"Give this run the model's settings: {' '.join(words)}" if words else "Give a model of the same form."
        channels = ("channels_in", "channels_out", "channels")
        if any(k in known and k in own and known[k] != own[k] for k in channels):
            hint = "Its images have another number of channels: --set channels_in=N and channels_out=N change yours."
        return I2IError(f"{self.name} does not fit this run: {role}: {misfit}.", hint)


def read_start(source: str, progress: Progress | None = None) -> Start:
    """The weights of `source`: a run's folder, a folder or file of the authors, a model file, or a model's name.

    progress: called while a published model is downloaded. Raises I2IError if there are none, or they are damaged."""
    folder = Path(source)
    if kind_of(folder) == "folder":
        if (folder / "config.yaml").is_file():
            return _of_run(folder, source)
        files = _authors_files(folder)
        if files:
            return _of_authors(files, source)
    path = load.find(source, progress).path
    kind = content.kind_of(path)
    if kind == content.ONNX:
        raise I2IError(f"{source} is an ONNX file, which cannot be trained.", "Give the model it was exported from.")
    return _of_authors({_role_in_name(path): path}, source) if kind == content.PTH else _of_model(path, source)


# ---- where weights lie ---------------------------------------------------------------------------------------------


def _of_model(path: Path, name: str) -> Start:
    header, states = model_file.read(path)
    arguments = {role: _arguments(described) for role, described in header["networks"].items()}
    return Start(name, {**states, **model_file.read_others(path)}, arguments)


def _arguments(described: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a network as a model's header describes it, and the name of its kind as a setting has it."""
    return {**described.get("arguments", {}), "generator": described.get("type")}


def _of_run(folder: Path, name: str) -> Start:
    """The newest checkpoint of a run, with its averaged weights where it has them, or else its model."""
    skipped: list[str] = []
    checkpoint = checkpoints.newest(folder / "checkpoints", skipped.append, parts=("method/", "ema/"))
    if checkpoint is None:
        if not (folder / "model.safetensors").is_file():
            raise I2IError(
                f"The run {folder} has saved no weights yet.",
                f"Go on with: i2i train --resume {shlex.quote(str(folder))}",
            )
        return _of_model(folder / "model.safetensors", name)
    states: dict[str, State] = {}
    for prefix in ("method/", "ema/"):  # averages replace the networks that they average
        for key, value in checkpoint[0].items():
            role, _, rest = key.removeprefix(prefix).replace("/", ".", 1).partition(".")
            if key.startswith(prefix) and rest:
                states.setdefault(role, {})[rest] = value.float() if value.is_floating_point() else value
    config = read_yaml(folder / "config.yaml")
    known = {k: v for k, v in config.items() if isinstance(k, str)} if isinstance(config, dict) else {}
    try:
        header = model_file.read_header(folder / "model.safetensors")
        arguments = {role: _arguments(described) for role, described in header["networks"].items()}
    except I2IError:
        arguments = dict.fromkeys(states, known)
    return Start(name, states, arguments)


def _authors_files(folder: Path) -> dict[str, Path]:
    """{role: file} of a folder of checkpoints by the authors: the latest, or those of the highest epoch."""
    epochs: dict[float, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        match = AUTHORS_FILE.match(path.name)
        if match and path.is_file():
            epoch = float("inf") if match[1] == "latest" else int(match[1])
            epochs.setdefault(epoch, {})[ROLE_OF[match[2]]] = path
    return epochs[max(epochs)] if epochs else {}


def _role_in_name(path: Path) -> str:
    match = AUTHORS_FILE.match(path.name)
    return ROLE_OF[match[2]] if match else ""


def _of_authors(files: dict[str, Path], name: str) -> Start:
    states: dict[str, State] = {}
    arguments: dict[str, dict[str, Any]] = {}
    for named, path, state in _networks_of_authors(files):
        content.require_numbers(path, state)
        role = named
        known: dict[str, Any] = {}
        if role != "H":  # the heads of CUT are not recognized
            try:
                kind, known = pth.recognize(state)
            except I2IError as error:
                raise I2IError(f"{path}: {error.what}", error.hint) from None
            role = named or ("G" if kind in load.GENERATORS else "D")
            known = {**known, "generator": kind}
            known.pop("dropout", None) if kind == "unet" else None  # it leaves no trace in a U-Net
        states[role] = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
        arguments[role] = known
    return Start(name, states, arguments)


def _networks_of_authors(files: dict[str, Path]) -> Iterator[tuple[str, Path, State]]:
    """(role, or empty if it is not known; file; weights) of each network. Raises I2IError naming the file."""
    for named, path in files.items():
        try:
            content_of_file = pth.read(path)
            both = pth_ways.ways(content_of_file)
            parts = {NETWORK_OF[way]: part for way, part in both.items()} or {named: content_of_file}
            for role, part in parts.items():
                yield role, path, pth.repair(part)
        except I2IError as error:
            raise I2IError(f"{path}: {error.what}" if str(path) not in error.what else error.what, error.hint) from None


# ---- words ---------------------------------------------------------------------------------------------------------


def _misfit(expected: State, state: State) -> str:
    """Why `state` does not fit a network: the first tensor that differs; empty if all fit."""
    for key in [*expected, *state]:
        here, there = expected.get(key), state.get(key)
        if here is None or there is None or here.shape != there.shape:
            return f"{key} is {_shape(there)} in the model and {_shape(here)} here"
    return ""


def _shape(value: Tensor | None) -> str:
    return "absent" if value is None else "x".join(map(str, value.shape)) or "a number"


def _listed(roles: list[str]) -> str:
    return " and ".join([", ".join(roles[:-1]), roles[-1]] if len(roles) > 1 else roles)


def _start(roles: list[str]) -> str:
    return "starts" if len(roles) == 1 else "start"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
