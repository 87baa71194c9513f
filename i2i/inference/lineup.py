"""Models and folders of outputs on the same inputs, image by image: what comparisons and human studies are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from i2i import data as datasets
from i2i.core.errors import I2IError, MethodNeeded
from i2i.data import layouts, source
from i2i.inference import output_folders
from i2i.inference.evaluate_data import Source, choose_split, data_of_run, open_split, settings_of
from i2i.media import images
from i2i.models.answers import AnswerSettings, who_understands
from i2i.models.folders import holds_model
from i2i.models.load import load
from i2i.models.translator import Translator
from i2i.nets.choice import Choice

BATCH = 8  # images in one pass of a network


@dataclass
class Candidate:
    """A model, or a folder with the output of each input. name: unique in its lineup."""

    name: str
    given: str
    translator: Translator | None = None
    files: list[Path] = field(default_factory=list)

    @property
    def is_model(self) -> bool:
        return self.translator is not None

    def facts(self) -> dict[str, Any]:
        """What it is: "from", as it was given, "model", and "steps" if a number was asked for."""
        steps = self.translator.choice.steps if self.translator is not None else 0
        return {"from": self.given, "model": self.is_model, **({"steps": steps} if steps else {})}


@dataclass(frozen=True)
class Item:
    """One input and what became of it: images [C, H, W] in [-1, 1]. truth: None without pairs."""

    index: int
    name: str
    x: Tensor
    truth: Tensor | None
    outputs: list[Tensor]


@dataclass
class Lineup:
    """Candidates on the first `count` inputs of a split. size: pixels at which all of them are run and scored."""

    candidates: list[Candidate]
    data: datasets.Data
    split: str
    count: int
    notes: list[str]

    @property
    def names(self) -> list[str]:
        return [candidate.name for candidate in self.candidates]

    @property
    def size(self) -> int:
        return self.data.size

    def items(self, indices: Sequence[int] | None = None) -> Iterator[Item]:
        """The inputs with these numbers (None: all), with the output of every candidate."""
        wanted = range(self.count) if indices is None else indices
        for start in range(0, len(wanted), BATCH):
            rows = list(wanted[start : start + BATCH])
            samples = [self.data.item(i) for i in rows]
            xs = [sample.x[0] for sample in samples]
            columns = [self._outputs(candidate, rows, xs) for candidate in self.candidates]
            for i, sample, x, outputs in zip(rows, samples, xs, zip(*columns, strict=True), strict=True):
                truth = sample.y[0] if self.data.layout == "paired" and sample.y is not None else None
                reference = x if truth is None else truth
                for candidate, output in zip(self.candidates, outputs, strict=True):
                    if output.shape[1:] != reference.shape[1:] or output.shape != outputs[0].shape:
                        raise I2IError(
                            f"{candidate.given} makes images of {_shape(output)} for {self.data.names[i]}, but the "
                            f"others have {_shape(outputs[0] if truth is None else truth)}.",
                            "Compare candidates that make images of one size with the same channels.",
                        )
                yield Item(i, self.data.names[i], x, truth, list(outputs))

    def _outputs(self, candidate: Candidate, rows: Sequence[int], xs: Sequence[Tensor]) -> list[Tensor]:
        if candidate.translator is not None:
            # as files would hold them: else a model would seem better than the folder of its own outputs
            return [images.levels(output) / 127.5 - 1 for output in candidate.translator(list(xs), batch=BATCH)]
        size_of = [(x.shape[2], x.shape[1]) for x in xs]
        channels = _channels_out(self.data, self.candidates)
        return [output_folders.read(candidate.files[i], size, channels) for i, size in zip(rows, size_of, strict=True)]

    def real_images(self, indices: Sequence[int]) -> Iterator[Tensor]:
        """Real images [C, H, W] of the target side with these numbers, modulo their count. For unpaired data."""
        for i in indices:
            y = self.data.item(i).y
            assert y is not None
            yield y[0]


def open_lineup(
    given: Sequence[str | Path],
    data: Source | None = None,
    *,
    least: int = 2,
    split: str | None = None,
    limit: int | None = None,
    size: int | None = None,
    device: str = "auto",
    method: str | Path | None = None,
    steps: int | None = None,
) -> Lineup:
    """Brings models, run folders and folders of outputs together on the same inputs.

    data: where the inputs lie; None: the data that the models were trained on. size: None is the largest of the sizes
    that the models were trained at, or for folders alone the shorter side of the first output. steps: of all models
    that answer in several; None: their own numbers.
    Raises I2IError if there are fewer than `least` candidates, a folder lacks outputs or has them in another size, the
    models read the data in different ways, there is no data, or no model makes that number of steps."""
    if len(given) < least:
        raise I2IError(
            f"{'One candidate was' if given else 'No candidate was'} given.",
            f"Give {least} or more: models, run folders, or folders with the outputs of the same inputs.",
        )
    for one in given:
        if list(map(str, given)).count(str(one)) > 1:
            raise I2IError(f"{one} was given twice.", "Give each model or folder once.")
    candidates = _candidates(given, device, method)
    if steps is not None:
        _choose_steps(candidates, steps)
    models = [candidate for candidate in candidates if candidate.translator is not None]
    header, notes = _common_header(models)
    sources = data if data is not None else _data_of(models)
    size = size or _size(candidates, models, notes)
    try:
        opened, split, note = open_split(header, sources, split, size)
    except I2IError as error:
        opened, split, note = _single_images(sources, header, split, size, error)
    inputs = opened.count if opened.layout == "paired" else len(opened.sides[0])
    count = inputs if limit is None else min(limit, inputs)
    if count < 1:
        raise I2IError(f"There is no image to compare: the data has {inputs}, the limit is {limit}.")
    lineup = Lineup(candidates, opened, split, count, [*([note] if note else []), *notes])
    _match_folders(lineup)
    return lineup


# ---- steps of the above --------------------------------------------------------------------------------------------


def _candidates(given: Sequence[str | Path], device: str, method: str | Path | None) -> list[Candidate]:
    candidates: list[Candidate] = []
    for one in given:
        path = Path(one)
        if path.is_dir() and not holds_model(path) and images.find_images(path):
            candidates.append(Candidate(path.resolve().name, str(one)))
            continue
        try:
            translator = load(one, device, "fp32")
        except MethodNeeded:
            if method is None:
                raise
            translator = load(one, device, "fp32", method=method)
        candidates.append(Candidate(translator.name, str(one), translator))
    names = [candidate.name for candidate in candidates]
    for candidate in candidates:
        if names.count(candidate.name) > 1:
            candidate.name = candidate.given
    return candidates


def _choose_steps(candidates: Sequence[Candidate], steps: int) -> None:
    """Gives the models that answer in several steps this number. Raises I2IError if there is none, or it cannot."""
    choice = Choice(steps=AnswerSettings(steps=steps).steps or 0)
    is_met = False
    for candidate in candidates:
        if candidate.translator is not None and "steps" in getattr(candidate.translator.saved_network, "choices", ()):
            candidate.translator, is_met = candidate.translator.with_choice(choice), True
    if not is_met:
        raise I2IError(f"{steps} steps were asked for, and no candidate answers in steps.", who_understands("steps"))


def _common_header(models: Sequence[Candidate]) -> tuple[dict[str, object], list[str]]:
    """The header by which the data is read, of the first model, and notes. Raises I2IError if models do not agree."""
    if not models:
        return {}, []
    translators = [candidate.translator for candidate in models if candidate.translator is not None]
    facts: dict[str, list[object]] = {
        "direction": [str(t.header.get("direction") or "AtoB") for t in translators],
        "channels of the input": [t.channels_in for t in translators],
        "channels of the output": [t.channels_out for t in translators],
        "scale": [t.scale for t in translators],
    }
    for name, values in facts.items():
        if len(set(values)) > 1:
            listed = ", ".join(f"{m.given}: {value}" for m, value in zip(models, values, strict=True))
            raise I2IError(f"The models differ in the {name} ({listed}).", "Compare models of one task.")
    rules = [str(t.header.get("preprocess") or "resize_and_crop") for t in translators]
    notes = []
    if len(set(rules)) > 1:
        listed = ", ".join(f"{m.name}: {rule}" for m, rule in zip(models, rules, strict=True))
        notes = [f"The models were trained with different pre-processing ({listed}); all get {rules[0]}."]
    first = translators[0]
    known = {"channels_in": first.channels_in, "channels_out": first.channels_out, "scale": first.scale}
    return {**first.header, **known}, notes


def _data_of(models: Sequence[Candidate]) -> list[str]:
    """The data that the models were trained on. Raises I2IError if there is none, or more than one."""
    of_each = []
    for candidate in models:
        assert candidate.translator is not None
        own = data_of_run(Path(candidate.given)) or list(candidate.translator.header.get("data") or [])
        if own and own not in of_each:
            of_each.append(own)
    if not of_each:
        raise I2IError("No data was given.", "Name the images that all of them have translated: --data DIR")
    if len(of_each) > 1:
        listed = " and ".join(" ".join(map(str, own)) for own in of_each)
        raise I2IError(f"The models were trained on different data: {listed}.", "Say which to use: --data DIR")
    sources = list(map(str, of_each[0]))
    try:
        source.folders(sources)
    except I2IError as error:
        what = f"The data that the models were trained on ({' '.join(sources)}) is not here."
        raise I2IError(what, "Name the images to compare on: --data DIR") from error
    return sources


def _size(candidates: Sequence[Candidate], models: Sequence[Candidate], notes: list[str]) -> int:
    """The side in pixels at which all are compared; a note is added if the models have different ones."""
    sizes = [int(m.translator.header.get("size") or 256) for m in models if m.translator is not None]
    if not sizes:
        return min(layouts.header(images.find_images(candidates[0].given)[0])[:2])
    if len(set(sizes)) > 1:
        listed = ", ".join(f"{m.name}: {own}" for m, own in zip(models, sizes, strict=True))
        notes.append(
            f"The models were trained at different sizes ({listed}). All are run at {max(sizes)} pixels; --size sets "
            "another."
        )
    return max(sizes)


def _single_images(
    sources: Source, header: dict[str, object], split: str | None, size: int, error: I2IError
) -> tuple[datasets.Data, str, str]:
    """The data as inputs alone. Raises `error` if it is no folder of single images."""
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    if len(given) != 1:
        raise error
    name, note = choose_split(given, split)
    found = layouts.find(source.folders(given), split=name)
    if found.name not in ("images", "labelled"):
        raise error
    return datasets.open(given, settings_of(header, "images", size), split=name), name, note


def _match_folders(lineup: Lineup) -> None:
    """Finds the file of each output and checks its size and channels, before any model runs."""
    channels = _channels_out(lineup.data, lineup.candidates)
    for candidate in lineup.candidates:
        if candidate.translator is not None:
            continue
        candidate.files = output_folders.match(Path(candidate.given), lineup.data.names[: lineup.count])
        for i, path in enumerate(candidate.files):
            sides = lineup.data.sides if lineup.data.layout == "paired" else lineup.data.sides[:1]
            origins = [side[i] for side in sides]
            size = lineup.data.whole_size(*output_folders.size_of(origins[-1 if lineup.data.spec.scale > 1 else 0]))
            output_folders.check(path, size, channels, origins)


def _channels_out(data: datasets.Data, candidates: Sequence[Candidate]) -> int:
    """Channels of outputs: of the targets, else of the models, else of the first output."""
    if len(data.sides) == 2:
        return data.channels[1]
    translators = [c.translator for c in candidates if c.translator is not None]
    if translators:
        return translators[0].channels_out
    return min(3, layouts.header(images.find_images(candidates[0].given)[0])[2])


def _shape(image: Tensor) -> str:
    channels = {1: "gray", 3: "color"}.get(len(image), f"{len(image)} channels")
    return f"{image.shape[2]}x{image.shape[1]} pixels ({channels})"
