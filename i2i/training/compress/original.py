"""The trained model that is compressed: its networks, the method that trained it, and its data."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from i2i.core import files
from i2i.core.errors import I2IError
from i2i.data import cards
from i2i.data import open as open_data
from i2i.methods import method_names
from i2i.methods._bases import Generate
from i2i.methods._method import Method
from i2i.models import content
from i2i.models import format as model_file
from i2i.models.header import NETWORK_OF
from i2i.models.load import ModelFile, find
from i2i.nets.registry import network_arguments
from i2i.training import recipes
from i2i.training.compress.pruned import judging_networks
from i2i.training.domain import domain_facts
from i2i.training.resolve import resolve_resume, resolve_run
from i2i.training.run import Run
from i2i.training.start import Start, read_start
from i2i.training.tricks import TrickSettings

SMALLEST_FOR_LAYERS = 24  # pixels of a side that a PatchGAN of three layers needs
FITTED = ("depth", "blocks")  # forms of a generator that may follow from the size
MOVED = "i2i compress --model {run} --data {data} -o small.safetensors"
LABELS = "labels"  # the network around a generator that reads label maps
OF_DATA = ("size", "load", "augment")  # settings of the data that a compression may change
# Entries of a header that say how its data was prepared.
PREPARED = ("size", "preprocess", "direction", "channels_in", "channels_out", "scale")


@dataclass
class Original:
    """A model as it is before it is compressed."""

    name: str  # as the user named it
    run: Run  # its method, settings and data; the length is that of the compression
    network: str  # name of the generator that is compressed
    header: dict[str, Any]  # of its model file, or of the model that its run would save
    start: Start  # its weights
    file: Path | None  # the model file, if there is one

    def build(self) -> Method:
        """The method with all of the model's weights."""
        self.run.start = None
        method = self.run.build()
        self.start.into(method)
        return method

    def fresh(self) -> Method:
        """The method with random weights, a pure function of the seed."""
        self.run.start = None
        return self.run.build()

    def example(self, method: Method) -> tuple[Tensor, ...]:
        """Inputs of the generator that is compressed, for one image. The way back reads what the other way makes."""
        inputs, shape = method.example(self.run.shape), self.run.shape
        if not self.is_back:
            return inputs
        return (inputs[0].new_zeros(1, shape.channels_out, *inputs[0].shape[2:]),)

    @property
    def is_back(self) -> bool:
        """True if the generator that is compressed is the way back, B to A."""
        return self.network == NETWORK_OF["BtoA"] and self.network in self.run.method.averaged

    def comparisons(self, output: str, data: list[str] | None, size: int | None) -> list[str]:
        """Commands that compare the model with `output`, what became of it; none for the way back of two.

        data, size: as the user named them."""
        if self.is_back and self.header.get("generator") != self.network:
            return []
        if issubclass(self.run.method, Generate):
            places = [f"--data {shlex.quote(one)}" for one in data or self.run.sources]
            return [" ".join(["i2i evaluate --model", shlex.quote(m), *places]) for m in (self.name, output)]
        places = [f"--data {shlex.quote(one)}" for one in data or []]
        places += [f"--size {size}"] if size else []
        return [" ".join(["i2i compare", shlex.quote(self.name), shlex.quote(output), *places])]

    def missing(self, method: Method) -> list[str]:
        """Names of the discriminators that the model does not hold."""
        return [name for name in judging_networks(method, self.network) if name not in self.start.states]


def open_original(
    model: str | Path | ModelFile,
    data: list[str] | None = None,
    *,
    direction: str = "AtoB",
    training: dict[str, Any] | None = None,
) -> Original:
    """Opens a model with its method and its data.

    model: the folder of a run, or a model file or name. data: default: the data that it was trained on. direction:
    which of two generators is compressed. training: settings of the compression run (images, batch, seed, ...), and
    `size`, `load` and `augment` of its data. Raises I2IError for a model that cannot be trained on, and if there is no
    data."""
    settings = dict(training or {})
    of_data = {name: settings.pop(name) for name in OF_DATA if name in settings}
    name = model.name if isinstance(model, ModelFile) else str(model)
    if not isinstance(model, ModelFile) and (Path(model) / "config.yaml").is_file():
        folder = Path(model)
        run = resolve_resume(folder, sources=data, moved=MOVED)
        path: Path | None = folder / "model.safetensors"
        path = path if path is not None and path.is_file() else None
        start = read_start(str(folder))
        header = model_file.read_header(path) if path else run.header(0, {})
    else:
        path = find(model).path
        if content.kind_of(path) == content.ONNX:
            raise I2IError(
                f"{name} is an ONNX file, whose weights cannot be trained.", "Give the model it was exported from."
            )
        if content.kind_of(path) == content.PTH:
            raise I2IError(
                f"{name} does not say which method trained it.", "Give a run's folder, or a model that i2i saved."
            )
        header = model_file.read_header(path)
        run = _run_of(name, header, data)
        start = read_start(str(path))
    _refuse(run, name)
    run.tricks = TrickSettings()
    if of_data:
        _set_data(run, of_data, name)
    _set_training(run, settings)
    network = _generator(run, header, direction, name)
    if data:
        licences = dict.fromkeys(x for x in (header.get("licence"), run.data.licence) if x)
        header = {**header, "data": run.header(0, {})["data"], "licence": "; ".join(licences)}
    if "size" in of_data:
        header = {**header, "size": run.shape.size, **domain_facts(run)}
    return Original(name, run, network, header, start, path)


def _run_of(name: str, header: dict[str, Any], data: list[str] | None) -> Run:
    """The run that would train a model file again: its recipe or method, with the forms of its networks."""
    method, recipe = str(header.get("method", "")), str(header.get("recipe", ""))
    if method not in method_names():
        raise I2IError(f"{name} was trained by {method or 'a method that it does not name'}.", "Give its run's folder.")
    base = recipe if recipe in recipes.recipes() and recipes.recipe(recipe)["method"] == method else method
    named = list(header.get("data") or [])
    sources = data or [d for d in named if d in cards.names()]
    if not data and len(sources) < max(1, len(named)):
        listed = f"The data that {name} was trained on ({', '.join(named)}) is not here."
        raise I2IError(
            listed if named else f"{name} does not say on which images it was trained.",
            f"Name it: i2i compress --model {shlex.quote(name)} --data DIR -o small.safetensors",
        )
    from i2i.methods import load_method

    allowed = {f.name for f in dataclasses.fields(load_method(method).Config)}
    known = {k: header[k] for k in PREPARED if k in header}
    values = recipes.recipe(base)
    if base == method and header.get("degrade"):  # inputs that i2i made of the images
        known["degrade"] = header["degrade"]
    if base == method and "size" in known:
        known["load"] = known["size"]
    elif "size" in known and values.get("load") and values.get("size"):  # as many times larger as in the recipe
        known["load"] = round(known["size"] * values["load"] / values["size"])
    described = header["networks"].get(header.get("generator") or "G") or next(iter(header["networks"].values()))
    if "generator" in described.get("arguments", {}):  # a network around another one: colors in CIE Lab
        inner = described["arguments"]
        described = {"type": inner["generator"], "arguments": inner["arguments"]}
        known |= {"space": "lab"} if "space" in allowed else {}
    if described["type"] == LABELS:
        raise I2IError(
            f"{name} reads label maps, and models of label maps cannot be compressed yet.",
            f"Halve its file: i2i models pack {shlex.quote(name)} -o half.safetensors",
        )
    forms = {k: v for k, v in described.get("arguments", {}).items() if k in allowed and v is not None}
    if "generator" in allowed:
        forms["generator"] = described["type"].removeprefix("mobile_")
    if base == method and "layers" in allowed and int(known.get("size", 256)) < SMALLEST_FOR_LAYERS:
        forms["layers"] = 1  # of a new discriminator: the default does not fit such images
    return resolve_run(base, sources, None, {**known, **forms})


def _refuse(run: Run, name: str) -> None:
    """Raises I2IError for a method whose networks change their form while they are trained."""
    if run.method.grows:
        raise I2IError(
            f"{name} was trained by {run.method.__name__}, whose networks grow while they are trained.",
            "Its generator cannot be compressed; export it with i2i models pack to halve the file.",
        )


def _set_data(run: Run, values: dict[str, Any], name: str) -> None:
    """Changes how the run's images are prepared. With another size, they stay as much larger before their crops."""
    own, size = run.shape.size, int(values.get("size", run.shape.size))
    if size != own and issubclass(run.method, Generate):
        raise I2IError(f"{name} makes images of {own} pixels from noise; its student does, too.", "Leave out --size.")
    if size != own:  # depth and blocks that were fitted to the size stay
        _fix_forms(run)
    if values.get("load", size) < size:
        raise I2IError(f"--load is {values['load']}, and the training images have {size} pixels.", "Give no less.")
    load = run.data_settings.load
    scaled = {"load": round(load * size / own)} if load else {}
    run.data_settings = dataclasses.replace(run.data_settings, **{**scaled, **values})
    run.settings = {**run.settings, "size": size, "load": run.data_settings.load, "augment": run.data_settings.augment}
    run.data = open_data(run.sources, run.data_settings, "train", cropped=True)
    if size != own:
        run.shape = dataclasses.replace(run.shape, size=size)
        split = next((s for s in ("val", "test") if s in run.data.splits), None)
        settings = dataclasses.replace(run.data_settings, palette=run.shape.palette)
        run.held_out = open_data(run.sources, settings, split, cropped=True) if split else None


def _fix_forms(run: Run) -> None:
    """Gives the method's settings the depth or blocks of the generator that it builds for its own size."""
    arguments = network_arguments(run.method(run.config, run.shape).get_submodule(run.method.averaged[0]))
    arguments = arguments.get("arguments", arguments)  # a network around another one: colors in CIE Lab
    run.config = dataclasses.replace(
        run.config, **{name: arguments[name] for name in FITTED if name in arguments and hasattr(run.config, name)}
    )


def _set_training(run: Run, values: dict[str, Any]) -> None:
    """Gives the run the length, batch, seed and precision (default: float32) of the compression."""
    fixed = {"accumulate": 1, "init_from": "", "trackers": "", "precision": "fp32", "compile": False}
    run.training = dataclasses.replace(run.training, **{**fixed, **values})
    run.training.check()
    run.total = run.training.length(run.data.count)
    run.start, run.start_digest = None, ""


def _generator(run: Run, header: dict[str, Any], direction: str, name: str) -> str:
    """The name of the generator for a direction."""
    first = str(header.get("generator") or run.method.averaged[0])
    if direction == "AtoB":
        return first
    if direction not in NETWORK_OF or NETWORK_OF[direction] not in run.method.averaged:
        raise I2IError(f"{name} cannot translate {direction}.", "It can translate AtoB.")
    return NETWORK_OF[direction]


def is_path(model: str) -> bool:
    """True if `model` names a file or folder."""
    return bool(files.kind_of(model))
