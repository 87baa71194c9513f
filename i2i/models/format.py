"""The saved model: one safetensors file that holds the weights and, as JSON, everything needed to use them.

The JSON stands under the metadata key `i2i`. It names each network's type and arguments, so that the file rebuilds
them by itself; the other entries (method, channels, recipe, data, licence, ...) are the caller's. Nothing in such a
file is ever executed. Weights are used as float32. A SHA-256 over all tensors tells a damaged file from a whole one,
which the container alone does not.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from i2i import nets
from i2i.core.errors import I2IError, nearest
from i2i.core.files import atomic_path

FORMAT = 1
KEY = "i2i"
MOST = 65536  # of any whole number among a network's arguments; a header of a few bytes must not ask for hours


@dataclass(frozen=True)
class Bundle:
    """A loaded model: its header and its networks by name, on the CPU, in eval mode."""

    header: dict[str, Any]
    networks: dict[str, nn.Module]


def save(
    path: Path | str,
    networks: Mapping[str, nn.Module],
    header: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Writes `networks` and `header` (anything that JSON can hold) to `path`; the file appears whole or not at all.

    dtype: of the weights in the file; torch.float16 halves it, at a difference under a grey level. `format`,
    `networks`, `multiple` and `sha256` of the header are filled in here. Raises I2IError for a network that could not
    be rebuilt (its class is not in `i2i.nets.NETWORKS`), and when the file cannot be written.
    """
    path = Path(path)
    described: dict[str, Any] = {}
    tensors: dict[str, Tensor] = {}
    for name, net in networks.items():
        inner = getattr(net, "_orig_mod", net)  # what torch.compile wrapped
        described[name] = {"type": nets.network_name(inner), "arguments": nets.network_arguments(inner)}
        for key, value in inner.state_dict().items():
            # a copy of its own for each: the container refuses tensors that share memory
            kept = value.detach().to("cpu", dtype if value.is_floating_point() else value.dtype, copy=True)
            tensors[f"{name}.{key}"] = kept.contiguous()
    multiple = max((int(getattr(n, "multiple", 1)) for n in networks.values()), default=1)
    lines = {
        **(header or {}),
        "format": FORMAT,
        "networks": described,
        "multiple": multiple,
        "sha256": _digest(tensors),
    }
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={KEY: json.dumps(lines, ensure_ascii=False)})
    except (OSError, SafetensorError) as error:
        raise I2IError(
            f"The model cannot be written to {path}: {error}.", "Free some space, or give another."
        ) from error
    return path


def load(path: Path | str, networks: Iterable[str] | None = None) -> Bundle:
    """Reads the model at `path` and rebuilds its networks, or only those named in `networks`.

    Raises I2IError if there is no such file, if it is no safetensors file, cut short, damaged, written by another
    program or a newer i2i, or lacks tensors that its networks need.
    """
    path = Path(path)
    with _opened(path) as file:
        header = _header(path, file.metadata())
        names = list(file.keys())
        wanted = list(header["networks"] if networks is None else networks)
        for name in wanted:
            if name not in header["networks"]:
                raise I2IError(f"{path} holds no network {name!r}.", nearest(name, header["networks"]))
        whole = len(wanted) == len(header["networks"])
        tensors = {n: file.get_tensor(n) for n in names if whole or n.partition(".")[0] in wanted}
    if whole and header.get("sha256") not in (None, _digest(tensors)):
        raise I2IError(f"{path} is damaged: its weights do not match their checksum.", "Copy or fetch it again.")
    if any(header["networks"][name].get("type") not in nets.NETWORKS for name in wanted):
        _know(str(header.get("method", "")))
    made = {name: _build(path, name, header["networks"][name], tensors) for name in wanted}
    return Bundle(header, made)


def read_header(path: Path | str) -> dict[str, Any]:
    """The header of the model at `path`, without its weights. Raises I2IError as `load` does."""
    with _opened(Path(path)) as file:
        return _header(Path(path), file.metadata())


def _digest(tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _opened(path: Path) -> Any:
    if path.is_dir():
        raise I2IError(f"{path} is a folder, not a model.", "Give the .safetensors file in it.")
    if not path.is_file():
        raise I2IError(f"There is no model at {path}.", "Give a .safetensors file.")
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise I2IError(
            f"{path} is no safetensors file, or was cut short ({error}).", "Copy or fetch it again."
        ) from error


def _header(path: Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    text = (metadata or {}).get(KEY)
    if text is None:
        raise I2IError(
            f"{path} is a safetensors file of another program: it has no i2i header.",
            "Give a model that `i2i train` wrote.",
        )
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise I2IError(f"The header of {path} is not readable: {error}.", "Copy or fetch it again.") from error
    if not isinstance(header, dict) or not isinstance(header.get("networks"), dict):
        raise I2IError(f"The header of {path} names no networks.", "Copy or fetch it again.")
    for name, described in header["networks"].items():
        if not (
            isinstance(described, dict)
            and isinstance(described.get("type"), str)
            and isinstance(described.get("arguments", {}), dict)
        ):
            raise I2IError(f"The header of {path} does not describe its network {name}.", "Copy or fetch it again.")
    if not isinstance(header.get("format"), int) or header["format"] > FORMAT:
        raise I2IError(
            f"{path} has format {header.get('format')}; this version of i2i reads up to {FORMAT}.", "Update i2i."
        )
    return header


def _know(method: str) -> None:
    """Imports the installed method of that name, whose file registers its own networks. Nothing that a header can say
    imports anything else: the name is looked up among the modules of i2i.methods and the installed entry points."""
    folder = importlib.import_module("i2i.methods").__path__
    if method in {m.name for m in pkgutil.iter_modules(folder)}:
        importlib.import_module(f"i2i.methods.{method}")
    else:
        for point in entry_points(group="i2i.methods"):
            if point.name == method:
                point.load()


def _build(path: Path, name: str, description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> nn.Module:
    kind, arguments = description.get("type"), description.get("arguments", {})
    if kind not in nets.NETWORKS:
        raise I2IError(
            f"{path} needs a network of type {kind!r}, which nothing installed defines.",
            f"{nearest(str(kind), nets.NETWORKS)} If its method is a file of your own, load that first.",
        )
    state = {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
    # copies: in the file a tensor lies at any address, and products of badly aligned ones round otherwise
    state = {k: v.to(torch.float32 if v.is_floating_point() else v.dtype, copy=True) for k, v in state.items()}
    try:
        _bounded(arguments, sum(v.numel() for v in state.values()))
        with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
            net: nn.Module = nets.build(kind, **arguments)
    except (I2IError, RuntimeError, ArithmeticError, ValueError, TypeError) as error:  # whatever odd numbers lead to
        raise I2IError(f"{path} describes its network {name} in a way this version cannot build: {error}") from error
    expected = net.state_dict()
    missing = sorted(expected.keys() - state.keys())
    extra = sorted(state.keys() - expected.keys())
    shapes = [k for k in expected.keys() & state.keys() if expected[k].shape != state[k].shape]
    if missing or extra or shapes:
        what = ", ".join(
            f"{len(found)} {title} (such as {found[0]})"
            for title, found in (("missing", missing), ("unknown", extra), ("of another shape", sorted(shapes)))
            if found
        )
        raise I2IError(f"The tensors of network {name} in {path} do not fit: {what}.", "Copy or fetch it again.")
    if len(expected) < len(list(net.parameters())) + len(list(net.buffers())):  # buffers that are not saved
        net = nets.build(kind, **arguments)
    net.load_state_dict(state, assign=True)
    return net.eval()


def _bounded(arguments: Mapping[str, Any], values: int) -> None:
    """Refuses arguments that no network of so many values has, before anything is built of them."""
    for key, value in arguments.items():
        if isinstance(value, int | float) and not -1 <= value <= min(MOST, max(values, 8)):
            raise I2IError(f"{key} is {value}, and there are {values} values in its tensors.")
