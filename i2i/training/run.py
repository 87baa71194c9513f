"""A run before it begins: all that training needs, resolved, and nothing done yet."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from i2i import __version__
from i2i.core import user_code
from i2i.core.distributed import processes
from i2i.core.errors import I2IError
from i2i.core.machine import total_memory
from i2i.core.memory import shortage
from i2i.data import Data, DataSettings
from i2i.data.batch import Shape
from i2i.methods import load_method, method_name, method_names
from i2i.methods._check import check_class
from i2i.methods._method import Method
from i2i.nets.bounds import at_most
from i2i.training import tricks
from i2i.training.gray_targets import gray_targets
from i2i.training.remarks import remarks
from i2i.training.settings import TrainSettings
from i2i.training.start import Start
from i2i.training.tricks import TrickSettings

if TYPE_CHECKING:
    from i2i.training.cost import Cost

# Settings that a resumed run may change: they say how it is watched, where it is computed or where its images lie, but
# not what it computes.
FREE_SETTINGS = frozenset(
    {
        "data",
        "labels",
        "workers",
        "cache",
        "cache_gb",
        "save_every",
        "sample_every",
        "log_every",
        "keep",
        "device",
        "trackers",
    }
    | {"keep_discriminators", "score_every", "patience"}
)
BYTES_OF_TRAINING = 16  # of each number in parameters: its value, its gradient and two moments of Adam
MAX_PARAMETERS = 100_000  # tensors
TOO_LARGE = "Choose smaller values of the settings that say how wide and how deep the networks are."
LENGTH = frozenset({"epochs", "images"})  # settings that say how long a run is
ANY_LENGTH = "any length"  # of `Run.facts`: the run may become longer
DEFAULTS = {
    f.name: f.default for part in (TrainSettings, TrickSettings, DataSettings) for f in dataclasses.fields(part)
}


@dataclass
class Run:
    """A resolved run; `i2i.training.resolve` makes one."""

    recipe: str  # name of the recipe or method, or a path
    method: type[Method]
    config: Any  # the settings of the method, an instance of its Config
    data_settings: DataSettings
    training: TrainSettings
    tricks: TrickSettings
    sources: list[str]  # where the images are found from the current folder
    named: list[str]  # the same as the user named them; the saved model's header holds it
    data: Data
    held_out: Data | None  # validation images, or test images, or None
    folder: Path
    shape: Shape
    total: int  # length in images
    settings: dict[str, Any]  # all settings by name, as in config.yaml
    precision_why: str = ""  # why precision=auto took what `training` says; empty if it was set
    start: Start | None = None  # whose weights the networks start with; None: random ones, or those of a checkpoint
    start_notes: list[str] = field(default_factory=list)  # which networks took theirs; known once they are built
    start_digest: str = ""  # of the weights of init_from, as the run began

    @property
    def micro_batch(self) -> int:
        """Images that go through the networks at once, in each process."""
        return max(1, self.training.batch // processes() // self.training.accumulate)

    @cached_property
    def cost(self) -> Cost | None:
        """What a step costs; None if it cannot be counted. Counting takes up to a second, so it is done once."""
        from i2i.training.cost import cost_of  # which counts the steps of a Run

        return cost_of(self)

    def build(self) -> Method:
        """The method with its tricks and networks at their start: random, a pure function of the seed, or of `start`.

        Raises I2IError if the networks cannot be built with these settings, or those of `start` do not fit."""
        torch.manual_seed(self.training.seed)
        has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
        memory, on_cpu = total_memory(), self.training.device == "cpu" or not has_gpu
        values = memory / (BYTES_OF_TRAINING if on_cpu else 4)
        why = f", too many to train on a CPU with {memory / 1e9:.1f} GB of memory" if on_cpu else ""
        try:
            with user_code.told_with_line(), at_most(values, MAX_PARAMETERS, why, TOO_LARGE):
                check_class(self.method)
                method = self.method(self.config, self.shape)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            if (short := shortage(error)) is not None:
                raise I2IError("The networks of these settings do not fit into the memory.", short.hint) from error
            raise I2IError(
                f"The networks cannot be built with these settings: {' '.join(str(error).split())}.",
                f"i2i recipes show {self.recipe} explains them.",
            ) from error
        tricks.apply(method, self.tricks)
        if self.data.class_names:
            method.class_titles = self.data.class_names
        if self.start is not None:
            self.start_notes = self.start.into(method)
        return method

    def notes(self, method: Method) -> list[str]:
        """What the user should know before the run: about the method, the processes and the data."""
        per_process = []
        if processes() > 1 and method.per_process_note:
            per_process = [
                f"{processes()} processes train together, and each computes {method.per_process_note} over its own "
                "share of a batch: the result depends on their number."
            ]
        uncompiled = ["The networks grow, so they are not compiled."] if self.training.compile and method.grows else []
        colors = gray_targets(self.data) if self.method.facts(self.config).get("colorizes") else []
        return [*self.start_notes, *uncompiled, *method.notes(), *per_process, *colors, *remarks(self.data)]

    def facts(self, any_length: bool = False) -> dict[str, Any]:
        """What must be the same when a checkpoint is resumed; see `check_same_run`.

        any_length: no step depends on the length of the run, so that it may change."""
        facts = {"recipe": self.settings, "data set": self.data.fingerprint, "length": self.total}
        if any_length:
            facts[ANY_LENGTH] = True
        return {**facts, "method file": self.method_sha256} if self.method_file else facts

    @property
    def method_file(self) -> Path | None:
        """The file of a method of the user's own, which the run's folder gets a copy of; None for an installed one."""
        return user_code.file_of(sys.modules.get(self.method.__module__))

    def _method_entries(self) -> dict[str, str]:
        """How the saved model names the method: a file without its folder, and with its digest."""
        if self.method_file is None:
            return {"method": method_name(self.method)}
        return {"method": Path(self.settings["method"]).name, "method_sha256": self.method_sha256}

    @property
    def method_source(self) -> bytes:
        """The content of `method_file` as it was imported."""
        return user_code.source_of(sys.modules.get(self.method.__module__))

    @property
    def method_sha256(self) -> str:
        """The digest of `method_file`; empty without one."""
        return user_code.digest_of(sys.modules.get(self.method.__module__))

    def changed(self) -> list[str]:
        """Names of the settings that differ from their default."""
        parts = (self.config, self.data_settings, self.training, self.tricks)
        fields = [(f, getattr(part, f.name)) for part in parts for f in dataclasses.fields(part)]
        own = {"layout", "precision"} if self.precision_why else {"layout"}  # derived, not set
        return [f.name for f, value in fields if value != f.default and f.name not in own]

    def header(self, images: int, metrics: dict[str, float]) -> dict[str, Any]:
        """The header of the model saved at `images` images; `metrics` are scores on held-out images."""
        return {
            **self._method_entries(),
            "recipe": _without_folder(self.recipe),
            "data": [_without_folder(name) for name in self.named],
            "channels_in": self.shape.channels_in,
            "channels_out": self.shape.channels_out,
            "size": self.shape.size,
            **({"palette": self.shape.palette} if self.shape.palette else {}),
            **({"center": self.data_settings.center} if self.data_settings.center else {}),
            **({"class_names": self.data.class_names} if self.data.class_names else {}),
            **({"generator": self.method.averaged[0]} if self.method.averaged[0] != "G" else {}),
            "range": [-1, 1],
            "layout": self.data.layout,
            "preprocess": self.data_settings.preprocess,
            "direction": self.data_settings.direction,
            **({"scale": self.shape.scale} if self.shape.scale > 1 else {}),
            **({"degrade": self.data.spec.make} if self.data.spec.makes else {}),  # to evaluate on single images
            "images": images,
            "metrics": dict(metrics),
            "version": __version__,
            "licence": self.data.licence,
            **self.method.facts(self.config),
        }


def _without_folder(name: str) -> str:
    """A name or path as a saved model records it: of an absolute path only the last part, so that a model that is
    passed on shows no folders of its author."""
    return Path(name).name if Path(name).expanduser().is_absolute() else name


def check_same_run(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises I2IError naming the first difference between the `Run.facts` of a checkpoint and those of this run."""
    free = FREE_SETTINGS | LENGTH if now.get(ANY_LENGTH) else FREE_SETTINGS
    defaults = {**DEFAULTS, **_method_defaults(now.get("recipe"))}
    for part in before.keys() - ({ANY_LENGTH, "length"} if now.get(ANY_LENGTH) else {ANY_LENGTH}):
        old, new = before[part], now.get(part)
        if isinstance(old, dict) and isinstance(new, dict):
            for key in sorted(old.keys() | new.keys()):
                # What an older i2i did not know yet has its default there.
                if key not in free and old.get(key, defaults.get(key)) != new.get(key):
                    raise _changed(part, f"{key} was {old.get(key)!r} and is {new.get(key)!r}")
        elif old != new:
            raise _changed(part, f"it was {old!r} and is {new!r}")


def _method_defaults(settings: Any) -> dict[str, Any]:
    """The defaults of the settings of an installed method; none for a file of the user's, whose digest is compared."""
    name = settings.get("method") if isinstance(settings, dict) else None
    if name not in method_names():
        return {}
    return {f.name: f.default for f in dataclasses.fields(load_method(name).Config)}


def _changed(part: str, difference: str) -> I2IError:
    return I2IError(
        f"The {part} changed since the checkpoint: {difference}.",
        "Change it back to resume the run, or start a new run with --out.",
    )
