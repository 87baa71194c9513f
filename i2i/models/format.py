"""The file format of saved models: one safetensors file with the weights and a JSON header.

The header stands under the metadata key `i2i`. It holds the type and the arguments of each network, so the networks can
be rebuilt from the file alone. Its other entries (method, channels, recipe, data, licence, ...) come from the caller.
Loading a file runs no code from it. Weights are loaded as float32, whatever their type in the file. A SHA-256 over all
tensors shows whether the weights are damaged; safetensors itself does not check that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from i2i import nets
from i2i.core import plugins
from i2i.core.config import shorten
from i2i.core.errors import I2IError, nearest
from i2i.core.files import atomic_path, open_regular
from i2i.core.reading import parse_json
from i2i.models import content
from i2i.models import sparse as sparse_weights
from i2i.models.content import KEY, MAX_HEADER
from i2i.models.header import check_header, with_networks
from i2i.models.method_file import method_file as method_file
from i2i.models.method_file import unknown_network
from i2i.models.weights import State, digest_of, tensors_of
from i2i.nets.bounds import TooLarge, at_most

FORMAT = 2  # version of the format; files with a higher number are refused
DENSE = 1  # of files without packed weights, which every version reads
SPARSE = "sparse"  # key of the header: shapes of the weights that are packed
OTHERS = "others"  # key of the header: names of networks that have weights in the file and are not described
MAX_TENSORS = 20_000  # in a file; large networks of today have some thousands
SLACK, SLACK_TENSORS = 100_000_000, 2000  # sizes up to which a network may be built that does not fit its file
DAMAGED = "Copy or download the file again."


@dataclass(frozen=True)
class SavedModel:
    """What a model file holds: its header, and its networks by name, on the CPU and in eval mode."""

    header: dict[str, Any]
    networks: dict[str, nn.Module]


def save(
    path: Path | str,
    networks: Mapping[str, nn.Module],
    header: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    others: Mapping[str, nn.Module] | None = None,
    sparse: bool = False,
) -> Path:
    """Writes `networks` and `header` to `path`, which appears complete or not at all; returns `path`.

    header: values that JSON can hold; `format`, `networks`, `multiple`, `sha256` and, for
    networks with several answers, `choices` are added here. dtype: of the
    weights in the file; torch.float16 halves its size and changes images by less than one level of 255. others: more
    networks whose weights are kept, such as discriminators, to start a training from; they cannot be rebuilt from the
    file, and using the model does not need them. sparse: pack weights with many zeros (i2i.models.sparse). Raises
    I2IError if a network cannot be rebuilt by name (its class is not registered in `i2i.nets`) or the file cannot be
    written.
    """
    path = Path(path)

    described: dict[str, Any] = {}
    tensors: State = {}
    for name, net in networks.items():
        inner = getattr(net, "_orig_mod", net)  # what torch.compile wrapped
        described[name] = {"type": nets.network_name(inner), "arguments": nets.network_arguments(inner)}
        tensors |= tensors_of(name, inner, dtype)
    for name, net in (others or {}).items():
        tensors |= tensors_of(name, getattr(net, "_orig_mod", net), dtype)
    multiple = max((int(getattr(n, "multiple", 1)) for n in networks.values()), default=1)
    kept = {OTHERS: list(others)} if others else {}
    inner = [getattr(net, "_orig_mod", net) for net in networks.values()]
    choices = sorted({part for net in inner if isinstance(net, nets.Choosing) for part in net.choices})
    chosen = {"choices": choices} if choices else {}
    added = {**kept, **chosen, "networks": described, "multiple": multiple}
    return _write(path, {**(header or {}), **added}, tensors, sparse)


def pack(
    path: Path | str,
    output: Path | str,
    network: str | None = None,
    dtype: torch.dtype = torch.float16,
    added: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a copy of the model at `path` to pass on to others: smaller, without its author's folders, and without
    the discriminators that the setting `keep_discriminators` left in it.

    network: keep only this one, such as "G"; None keeps all. dtype: of the weights in the copy. added: entries of the
    copy's header, in place of those of the same names. The networks are not built. Raises I2IError as `load` does, and
    if the copy cannot be written."""
    header, states = read(path, None if network is None else [network])
    header = with_networks(header, states)
    header.pop(OTHERS, None)
    if "data" in header:  # names of data sets and folders stay, their paths do not
        header["data"] = [Path(str(source)).name for source in header["data"]]
    tensors = {
        f"{name}.{key}": value.to(dtype if value.is_floating_point() else value.dtype).contiguous()
        for name, state in states.items()
        for key, value in state.items()
    }
    return _write(Path(output), {**header, **(added or {})}, tensors, SPARSE in header)


def add_to_header(path: Path | str, added: Mapping[str, Any]) -> None:
    """Adds entries to the header of the model at `path`; its tensors stay. Raises I2IError as `load` and `save` do."""
    path = Path(path)
    with _open(path) as file:
        header = _header(path, file.metadata())
        tensors = {name: file.get_tensor(name).clone() for name in list(file.keys())}
    _save(path, {**header, **added}, tensors)


def _write(path: Path, header: Mapping[str, Any], tensors: State, packed: bool = False) -> Path:
    """Writes a model file, complete or not at all; adds the format's version and the checksum to its header.

    packed: weights with many zeros are packed."""
    tensors, shapes = sparse_weights.pack(tensors) if packed else (tensors, {})
    own = {SPARSE: shapes, "format": FORMAT} if shapes else {"format": DENSE}
    return _save(path, {**{k: v for k, v in header.items() if k != SPARSE}, **own}, tensors)


def _save(path: Path, header: Mapping[str, Any], tensors: State) -> Path:
    """Writes tensors as they are with a header, complete or not at all; adds the checksum to it."""
    full_header = {**header, "sha256": digest_of(tensors)}
    text = json.dumps(full_header, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # names of files may hold what UTF-8 cannot
        text = json.dumps(full_header)
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={KEY: text})
    except (OSError, SafetensorError) as error:
        raise I2IError(
            f"The model cannot be written to {path}: {error}.", "Free space on the disk, or give another path."
        ) from error
    return path


def load(path: Path | str, networks: Iterable[str] | None = None) -> SavedModel:
    """Reads the model at `path` and rebuilds its networks, or only those named in `networks`.

    Raises I2IError if the file does not exist, is not a safetensors file, is cut short or damaged, was written by
    another program or by a newer i2i, or lacks tensors that its networks need.
    """
    path = Path(path)
    header, tensors = read(path, networks)
    return SavedModel(header, {name: build(path, name, header, state) for name, state in tensors.items()})


def read(path: Path | str, networks: Iterable[str] | None = None) -> tuple[dict[str, Any], dict[str, State]]:
    """The header of the model at `path` and the state dict of each network in it, or of those named in `networks`.

    Floating-point tensors become float32. Nothing is built. Raises I2IError as `load` does, except for tensors that do
    not fit their networks."""
    path = Path(path)
    with _open(path) as file:
        header = _header(path, file.metadata())
        wanted = list(header["networks"] if networks is None else networks)
        for name in wanted:
            if name not in header["networks"]:
                raise I2IError(f"{path} has no network {name!r}.", nearest(name, header["networks"]))
        whole = len(wanted) == len(header["networks"])
        tensors = {n: file.get_tensor(n) for n in list(file.keys()) if whole or n.partition(".")[0] in wanted}
    if whole and header.get("sha256") not in (None, digest_of(tensors)):
        raise I2IError(f"{path} is damaged: its weights do not match their checksum.", DAMAGED)
    content.require_numbers(path, tensors)
    return header, _states(path, tensors, header, wanted)


def read_others(path: Path | str) -> dict[str, State]:
    """The weights of the networks that `save` has kept as `others`, by name, as float32; empty if there are none.

    Raises I2IError as `load` does."""
    path = Path(path)
    with _open(path) as file:
        header = _header(path, file.metadata())
        names = [name for name in header.get(OTHERS, []) if isinstance(name, str)]
        tensors = {key: file.get_tensor(key) for key in list(file.keys()) if key.partition(".")[0] in names}
    return _states(path, tensors, header, names)


def _states(path: Path, tensors: State, header: Mapping[str, Any], names: list[str]) -> dict[str, State]:
    """The state dicts of the networks `names`: unpacked, and with float32 for every floating-point type."""
    states: dict[str, State] = {name: {} for name in names}
    for key, value in sparse_weights.unpack(path, tensors, header.get(SPARSE)).items():
        name, _, rest = key.partition(".")
        if name in states:
            # A copy: a tensor of the file may lie at any address, and products of badly aligned ones round differently.
            states[name][rest] = value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=True)
    return states


def check(path: Path, name: str, header: Mapping[str, Any], state: State) -> None:
    """Raises I2IError if network `name` cannot be built from what `read` returned; allocates no weights."""
    _fitting(path, name, header, state)


def read_header(path: Path | str) -> dict[str, Any]:
    """The header of the model at `path`; its weights are not read. Raises I2IError as `load` does."""
    with _open(Path(path)) as file:
        return _header(Path(path), file.metadata())


def _open(path: Path) -> Any:
    if path.is_dir():
        raise I2IError(f"{path} is a folder, not a model.", "Give the .safetensors file inside it.")
    if not path.is_file():
        raise I2IError(f"There is no model at {path}.", "Give the path of a .safetensors file.")
    content.require_saved_model(path)
    try:
        with open_regular(path) as opened:
            length = int.from_bytes(opened.read(8), "little")
        if MAX_HEADER < length < path.stat().st_size:
            raise I2IError(f"The header of {path} has {length:,} bytes.", f"Allowed: {MAX_HEADER:,}.")
        file: Any = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise I2IError(f"{path} is not a safetensors file, or it was cut short ({error}).", DAMAGED) from error
    if (count := len(file.keys())) > MAX_TENSORS:
        raise I2IError(f"{path} holds {count:,} tensors.", f"Allowed: {MAX_TENSORS:,}.")
    return file


def _header(path: Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """The header out of the file's metadata, after checking its form and its version."""
    text = (metadata or {}).get(KEY)
    if text is None:
        raise I2IError(
            f"{path} is a safetensors file of another program; it has no i2i header.",
            "Give a model that `i2i train` wrote.",
        )
    try:
        header = parse_json(text)
    except ValueError as error:
        raise I2IError(f"The header of {path} cannot be read: {error}.", DAMAGED) from error
    if not isinstance(header, dict) or not isinstance(header.get("networks"), dict):
        raise I2IError(f"The header of {path} names no networks.", DAMAGED)
    for name, described in header["networks"].items():
        if not (
            isinstance(described, dict)
            and isinstance(described.get("type"), str)
            and isinstance(described.get("arguments", {}), dict)
        ):
            raise I2IError(f"The header of {path} does not describe its network {name}.", DAMAGED)
    if type(header.get("format")) is not int or header["format"] > FORMAT:
        raise I2IError(
            f"{path} has format {shorten(header.get('format'))}; this version of i2i reads formats up to {FORMAT}.",
            "Update i2i: pip install -U i2i-toolkit",
        )
    check_header(str(path), header)
    return header


def build(path: Path, name: str, header: Mapping[str, Any], state: State) -> nn.Module:
    """The network `name` with the tensors of `state`, in eval mode on the CPU. Raises I2IError if they do not fit."""
    net = _fitting(path, name, header, state)
    if len(state) < len(list(net.parameters())) + len(list(net.buffers())):  # some buffers are not saved: compute them
        description = header["networks"][name]
        net = nets.build(description["type"], **description.get("arguments", {}))
    net.load_state_dict(state, assign=True)
    return net.eval()


def _fitting(path: Path, name: str, header: Mapping[str, Any], state: State) -> nn.Module:
    """The network `name` on the meta device, after checking that `state` has exactly its keys and shapes."""
    description = header["networks"][name]
    kind, arguments = description["type"], description.get("arguments", {})
    if kind not in nets.NETWORKS:  # the file of the method that trained it may define the network
        plugins.import_installed(str(header.get("method", "")))
    if kind not in nets.NETWORKS:
        raise unknown_network(path, kind, header)
    # A header can ask for any network, but not for one that is much larger than the file.
    # Any odd number in the arguments may lead to any of these errors.
    try:
        # Twice: a weight that is normalized is registered as two parameters.
        values, count = max(2 * sum(v.numel() for v in state.values()), SLACK), max(2 * len(state), SLACK_TENSORS)
        with at_most(values, count, ", and the file holds fewer"):
            net = _skeleton(kind, arguments)
    except TooLarge as error:
        raise I2IError(f"The tensors of network {name} in {path} do not fit: {error}", DAMAGED) from error
    except (I2IError, RuntimeError, ArithmeticError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise I2IError(f"{path} describes its network {name} in a way this version cannot build: {error}") from error
    expected = net.state_dict()
    missing = sorted(expected.keys() - state.keys())
    unknown = sorted(state.keys() - expected.keys())
    other_shape = sorted(k for k in expected.keys() & state.keys() if expected[k].shape != state[k].shape)
    if missing or unknown or other_shape:
        faults = ", ".join(
            f"{len(keys)} {title} (such as {keys[0]})"
            for title, keys in (("missing", missing), ("unknown", unknown), ("of another shape", other_shape))
            if keys
        )
        raise I2IError(f"The tensors of network {name} in {path} do not fit: {faults}.", DAMAGED)
    return net


def _skeleton(kind: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A network whose weights are to be replaced: on the meta device, where they take no memory and no random numbers.

    A network of the user's own that reads values while it is built, such as torch.linspace(...).tolist(), cannot be
    built there; it is built on the CPU."""
    try:
        with torch.device("meta"):
            return nets.build(kind, **arguments)
    except RuntimeError:
        if nets.NETWORKS[kind].__module__.startswith("i2i."):
            raise
        with torch.random.fork_rng([]):
            return nets.build(kind, **arguments)
