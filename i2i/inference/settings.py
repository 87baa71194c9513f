"""All settings of a translation, in five groups, and the keyword options that set single ones of them.

TranslateSettings(write=WriteSettings(quality=90), run=RunSettings(resume=True))
TranslateSettings().with_options(quality=90, resume=True)  # the same
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from i2i.core.errors import I2IError, nearest
from i2i.media.adapt import Size
from i2i.media.codec import WriteSettings
from i2i.models.answers import AnswerSettings
from i2i.models.tiling import TileSettings


@dataclass(frozen=True)
class NetworkSettings:
    """How the network runs."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1 or mps
    precision: str = "auto"  # auto, fp32, bf16, fp16 or mixed; see load
    direction: str = "AtoB"  # AtoB, or BtoA for a model that holds the way back
    statistics: str = "auto"  # that batch norm uses: image (each image's own), stored (of the training), or auto
    method: str | Path | None = None  # the user's own method file that defines the network; **its code is run**
    batch: int = 0  # most images in one pass; 0 chooses: 1 on a CPU, 32 elsewhere
    compile: bool = False  # by torch.compile, which takes seconds to minutes for each new size
    render_factor: int = (
        0  # of models that color: colors are made in squares of 16 times as many pixels; 0: the model's
    )

    def __post_init__(self) -> None:
        if self.batch < 0:
            raise I2IError(f"batch is {self.batch}.", "Allowed: 0 (automatic) or more.")
        if not 0 <= self.render_factor <= 256:
            raise I2IError(
                f"The render factor is {self.render_factor}.", "Allowed: 1 to 256, or 0 for the model's own."
            )


@dataclass(frozen=True)
class RunSettings:
    """Which inputs this process translates, and what it does with outputs that exist."""

    overwrite: bool = False  # replace outputs that exist
    skip_existing: bool = False  # leave outputs that exist, even those of another model, without an error
    resume: bool = False  # skip outputs that the record says are done and intact; make the others again
    record: bool | None = None  # keep a record in the output folder; None: if several images go into a folder
    dry_run: bool = False  # only say what would be done
    shard: tuple[int, int] | None = None  # (i, n): only the i-th of n parts, chosen by a hash of each name
    processes: int = 1  # on this machine, sharing the work
    ray: str | None = None  # address of a Ray cluster that does the work (see ray_cluster.run)
    domain_check: bool = True  # tell images that are unlike those that the model was trained on

    def __post_init__(self) -> None:
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            raise I2IError(f"The shard is {self.shard[0]} of {self.shard[1]}.", "Give (i, n) with i from 1 to n.")
        if self.processes < 1:
            raise I2IError(f"processes is {self.processes}.", "Allowed: 1 or more.")
        if self.processes > 1 and self.ray:
            raise I2IError(f"{self.processes} processes and a Ray cluster were both given.", "Give one of them.")


class TranslateOptions(TypedDict, total=False):
    """Keyword options of `translate` and `watch`, one for each field of the five groups."""

    # WriteSettings
    size: Size
    quality: int | None
    subsampling: str
    alpha: str
    profile: str
    metadata: str
    max_pixels: int | None  # None: the default
    # TileSettings
    tile: int | None  # its field `size`
    overlap: int | None
    memory: float | None
    exact: bool
    # NetworkSettings
    device: str
    precision: str
    direction: str
    statistics: str
    method: str | Path | None
    batch: int
    compile: bool
    render_factor: int
    # RunSettings
    overwrite: bool
    skip_existing: bool
    resume: bool
    record: bool | None
    dry_run: bool
    shard: tuple[int, int] | None
    processes: int
    ray: str | None
    domain_check: bool
    # AnswerSettings
    to: str | Sequence[str]
    answers: int
    seed: int
    like: Any
    steps: int | None


@dataclass(frozen=True)
class TranslateSettings:
    """All settings of a translation."""

    write: WriteSettings = field(default_factory=WriteSettings)
    tiling: TileSettings = field(default_factory=TileSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    run: RunSettings = field(default_factory=RunSettings)
    answer: AnswerSettings = field(default_factory=AnswerSettings)

    def with_options(self, **options: Unpack[TranslateOptions]) -> TranslateSettings:
        """These settings with some options changed. Raises TypeError for an unknown one, I2IError for a bad value."""
        changes: dict[str, dict[str, Any]] = {}
        for option, value in options.items():
            if option not in _HOME:
                raise TypeError(f"There is no option {option!r}. {nearest(option, _HOME)}")
            group, name = _HOME[option]
            if option != "max_pixels" or value is not None:
                changes.setdefault(group, {})[name] = value
        return replace(self, **{group: replace(getattr(self, group), **values) for group, values in changes.items()})


# option -> (group of TranslateSettings, field of the group)
_HOME = {
    "tile" if (group, one.name) == ("tiling", "size") else one.name: (group, one.name)
    for group, kind in (
        ("write", WriteSettings),
        ("tiling", TileSettings),
        ("network", NetworkSettings),
        ("run", RunSettings),
        ("answer", AnswerSettings),
    )
    for one in fields(kind)
}
