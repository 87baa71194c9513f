"""A run before it begins: a recipe, data and overrides resolved into all that training needs."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from i2i import data
from i2i.core import config
from i2i.core.distributed import processes
from i2i.core.errors import I2IError
from i2i.core.progress import Progress
from i2i.data import Data, DataSettings, layouts
from i2i.data.batch import Shape
from i2i.methods import load_method, method_name
from i2i.methods._method import Method
from i2i.training import recipes, tricks
from i2i.training.settings import TrainSettings
from i2i.training.tricks import TrickSettings

FEW = 10  # training images of a side below which a user is warned
LOOKED_AT = 500  # images of a side whose headers are looked at before a run


@dataclass
class Run:
    """A resolved run: everything that `train` needs, and nothing done yet."""

    recipe: str  # name of the recipe or method, or a path
    method: type[Method]
    config: Any  # the method's Config
    spec: DataSettings
    plan: TrainSettings
    craft: TrickSettings
    sources: list[str]  # where the images are found from here
    named: list[str]  # the same as the user named them, which goes into the model
    data: Data
    held_out: Data | None  # validation images, or test images, or None
    folder: Path
    shape: Shape
    total: int  # images
    settings: dict[str, Any]  # flat, as in config.yaml

    def build(self) -> Method:
        """The method with freshly initialised networks, a pure function of the seed."""
        torch.manual_seed(self.plan.seed)
        try:
            method = self.method(self.config, self.shape)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise I2IError(
                f"The networks cannot be built with these settings: {' '.join(str(error).split())}.",
                f"i2i recipes show {self.recipe} explains them.",
            ) from error
        tricks.apply(method, self.craft)
        return method

    def notes(self, method: Method) -> list[str]:
        """What the user should know before the run: of the method, the processes that train together, the data."""
        shared = []
        if processes() > 1 and method.per_process_note:
            shared = [
                f"{processes()} processes train together, and each computes {method.per_process_note} over its own "
                "share of a batch: the result depends on their number."
            ]
        return [*method.notes(), *shared, *remarks(self.data)]

    def facts(self) -> dict[str, Any]:
        """What must not change between a checkpoint and its resumption."""
        return {"recipe": self.settings, "data set": self.data.fingerprint, "length": self.total}

    def changed(self) -> list[str]:
        """Names of the settings that are not at their default."""
        parts = (self.config, self.spec, self.plan, self.craft)
        fields = [(f, getattr(part, f.name)) for part in parts for f in dataclasses.fields(part)]
        return [f.name for f, value in fields if value != f.default and f.name != "layout"]

    def describe(self) -> dict[str, Any]:
        """The whole plan, as `--dry-run` prints it."""
        with torch.device("cpu"):
            method = self.build()
        sizes = {name: sum(p.numel() for p in net.parameters()) for name, net in method.networks().items()}
        kinds = {name: type(net).__name__ for name, net in method.networks().items()}
        networks = {n: {"type": kinds[n], "parameters": size} for n, size in sizes.items() if size}
        parameters = sum(sizes.values())
        share = max(1, self.plan.batch // max(1, processes()) // self.plan.accumulate)
        activations = _activations(method, self.shape, share)
        return {
            "recipe": self.recipe,
            "method": method_name(self.method),
            "data": self.sources,
            "layout": self.data.layout,
            "pictures": self.data.count,
            "held out": self.held_out.count if self.held_out else 0,
            "channels": [self.shape.channels_in, self.shape.channels_out],
            "images": self.total,
            "epochs": round(self.total / max(1, self.data.count), 2),
            "steps": self.total // self.plan.batch,
            "networks": networks,
            "parameters": parameters,
            # weights, gradients and two moments of Adam, 4 bytes each; activations of the networks' forward passes
            "memory_mib": math.ceil((16 * parameters + activations) / 2**20),
            "seconds": self.seconds(),
            "notes": self.notes(method),
            "out": str(self.folder),
            "settings": self.settings,
            "changed": self.changed(),
        }

    def seconds(self) -> float | None:
        """How long the rest of a run takes at the speed it had, by its log; None for a run that has not begun."""
        seen = speed = 0.0
        try:
            lines = (self.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
            for line in map(json.loads, lines):
                if line.get("kind") == "losses" and line.get("speed"):
                    seen, speed = line["images"], line["speed"]
        except (OSError, ValueError):
            return None
        return max(0.0, self.total - seen) / speed if speed else None


def _activations(method: Method, shape: Shape, batch: int) -> int:
    """Bytes that the forward passes of one step keep for the backward pass, from one forward of each generator;
    0 if a generator cannot be tried like that."""
    kept = 0

    def pack(t: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += 0 if isinstance(t, nn.Parameter) else t.numel() * t.element_size()
        return t

    total = 0
    for name in method.averaged:
        net = getattr(method, name)
        kept = 0
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t), torch.random.fork_rng():
            try:
                net.eval()(*method.example(shape))
            except (RuntimeError, ValueError, TypeError):
                return 0
        total += kept
    return 3 * total * batch  # a step keeps about three forwards of each generator, discriminators included


def remarks(pictures: Data) -> list[str]:
    """What a user should know of the training images before the run: that they are few, or small.

    Raises I2IError naming a file that is no image."""
    said = []
    few = min(len(side) for side in pictures.sides)
    if few < FEW:
        said.append(f"There {'is' if few == 1 else 'are'} only {few} training image{'s' * (few > 1)}: hardly enough.")
    places = [p for side in pictures.sides for p in side[:: max(1, len(side) // LOOKED_AT)][:LOOKED_AT]]
    try:
        sizes = [(w // (1 if p.part == -1 else 2), h) for p in places for w, h, _ in [layouts.header(p.path)]]
    except I2IError as error:
        raise I2IError(error.what, "Remove it; `i2i data check FOLDER` finds all such files.") from error
    size, small = pictures.spec.size, min(sizes, key=min)
    if min(small) < size and pictures.spec.rule.resize:
        under = sum(min(s) < size for s in sizes)
        said.append(
            f"{under} of {len(sizes)} images looked at are smaller than the {size} pixels of training (the smallest "
            f"is {small[0]}x{small[1]}) and are enlarged; a smaller --size suits them better."
        )
    return said


def _settle_shape(found: Data, spec: DataSettings) -> Shape:
    return Shape(
        channels_in=found.channels_in,
        channels_out=found.channels_out,
        size=found.size,
        classes=found.classes,
    )


def resolve_run(
    recipe: str,
    data_sources: list[str] | None = None,
    out: Path | None = None,
    overrides: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Run:
    """Resolves a run without starting it; a data set that is not here yet is fetched, which `progress` is told.

    recipe: name of a recipe or method, or a path to a .yaml or .py file. data_sources: a folder, two folders, or the
    name of a data card; the recipe's own if left out. overrides: any setting by name. Raises I2IError on bad input.
    """
    run = _resolved(recipe, data_sources, out, overrides, progress)
    free(run.folder)
    return run


def _resolved(
    recipe: str,
    data_sources: list[str] | None,
    out: Path | None,
    overrides: dict[str, Any] | None,
    progress: Progress | None = None,
) -> Run:
    values = dict(recipes.recipe(recipe))
    values.update(overrides or {})
    method = load_method(str(values.pop("method")))
    given = values.pop("data", None)
    sources = list(data_sources or ([given] if isinstance(given, str) else given or []))
    if not sources:
        raise I2IError("No data was given.", "Give --data with a folder, two folders, or a name of `i2i data`.")
    if method.needs and values.get("layout", "auto") == "auto":
        values["layout"] = method.needs
    made = config.resolve(
        values, {"config": method.Config, "spec": data.DataSettings, "plan": TrainSettings, "craft": TrickSettings}
    )
    spec, plan = made["spec"], made["plan"]
    plan.check()
    pictures = data.open(sources, spec, "train", progress)
    held_out = None
    for split in ("val", "test"):
        if split in pictures.splits:
            held_out = data.open(sources, spec, split=split)
            break
    images = plan.images or math.ceil(plan.epochs * pictures.count)
    total = max(1, math.ceil(images / plan.batch)) * plan.batch
    kept = [str(Path(s).resolve()) if Path(s).is_dir() else s for s in sources]  # found again from another folder
    settings: dict[str, Any] = {"recipe": recipe, "method": str(method_name(method)), "data": kept}
    for part in made.values():
        settings |= dataclasses.asdict(part)
    name = f"{Path(recipe).stem}-{Path(sources[0]).name}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Path(out) if out else Path("runs") / name
    return Run(
        recipe=recipe,
        method=method,
        config=made["config"],
        spec=spec,
        plan=plan,
        craft=made["craft"],
        sources=sources,
        named=sources,
        data=pictures,
        held_out=held_out,
        folder=folder,
        shape=_settle_shape(pictures, spec),
        total=total,
        settings=settings,
    )


def resolve_resume(
    folder: str | Path, overrides: dict[str, Any] | None = None, sources: list[str] | None = None
) -> Run:
    """Resolves the run in `folder` as its config.yaml says. overrides may only change how the run is watched or where
    it is computed (workers, device, save_every, ...). sources: where its images lie now, if they have moved.
    Raises I2IError if there is no run."""
    folder = Path(folder)
    path = folder / "config.yaml"
    if not path.is_file():
        raise I2IError(f"{folder} holds no run: it has no config.yaml.", "Give the folder that `i2i train` named.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise I2IError(f"{path} is no readable YAML: {error}.", "Put the original back.") from error
    if not isinstance(values, dict) or not {"recipe", "method", "data"} <= values.keys():
        raise I2IError(f"{path} is not the config.yaml of a run.", "Put the original back.")
    values.pop("versions", None)
    recipe, written = values.pop("recipe"), values.pop("data")
    named = values.pop("data_named", written)
    run = _resolved(str(values["method"]), sources or written, folder, {**values, **(overrides or {})})
    run.recipe = run.settings["recipe"] = recipe
    run.named = sources or named
    return run


def free(folder: Path) -> None:
    """Raises I2IError if a run in `folder` would touch what is there."""
    if (folder / "config.yaml").exists():
        raise I2IError(
            f"{folder} already holds a run.",
            f"Go on with `i2i train --resume {shlex.quote(str(folder))}`, or give another --out.",
        )
    if folder.is_file():
        raise I2IError(f"{folder} is a file.", "Give a folder for --out.")
    if folder.is_dir() and any(folder.iterdir()):
        raise I2IError(f"{folder} exists and is not empty.", "Give another --out.")
