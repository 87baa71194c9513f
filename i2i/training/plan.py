"""The planner: from a probe to the batch, accumulation, size and precision that fit a memory, and to hours and cost."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from i2i.core import config
from i2i.core.device import device_of
from i2i.core.errors import I2IError
from i2i.core.format import format_bytes
from i2i.methods import method_name
from i2i.training import recipes
from i2i.training.estimate import Estimate, estimate
from i2i.training.lighter import Lighter, command_of, lighter
from i2i.training.probe import Probe, device_memory, probe
from i2i.training.resolve import resolve_run
from i2i.training.run import Run
from i2i.training.settings import TrainSettings, precision_on

BUDGET = 15.0  # seconds of steps in a probe, about
MARGIN = 0.95  # share of the memory that a plan uses
MOST_BATCH = 1024
SMALLEST = 32  # side of the images that a plan goes down to, in pixels
UNITS = {"": 1, "B": 1} | {
    f"{letter}{end}": base**power
    for power, letter in enumerate("KMGT", 1)
    for end, base in (("B", 1000), ("IB", 1024), ("", 1000))
}

Tell = Callable[[str], None]  # called with a sentence that says what is being measured


@dataclass(frozen=True)
class Plan:
    """How a run fits into a memory and a time."""

    run: Run  # with the settings of the plan
    probe: Probe
    limit: float  # bytes of memory
    asked_batch: int  # batch of the recipe, or as asked
    asked_size: int
    largest_batch: int  # that fits without accumulation
    memory: float  # bytes of a step of the plan
    step_seconds: float
    seconds: float  # of the whole run
    estimated: Estimate
    hours: float | None  # as asked
    price: float | None  # of an hour
    epochs_in_time: float | None  # passes over the data that fit into the hours that were asked for, if not all do
    lighter: Lighter | None  # a lighter form, if the run takes longer than asked, or than a day

    @property
    def command(self) -> str:
        """The command that starts the run of the plan."""
        return command_of(self.run)

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON values."""
        run, (base, image) = self.run, self.probe.memory
        cost = self.estimated.cost
        networks = {
            name: {
                "type": cost.types[name],
                "parameters": count,
                "macs": cost.networks[name].published if name in cost.networks else None,
            }
            for name, count in (cost.parameters if cost else {}).items()
            if cost and count
        }
        return {
            "recipe": run.recipe,
            "method": method_name(run.method),
            "data": run.sources,
            "device": self.estimated.device,
            "precision": self.estimated.precision,
            "size": run.shape.size,
            "asked_size": self.asked_size,
            "networks": networks,
            "memory_limit_bytes": round(self.limit),
            "memory_base_bytes": round(base),
            "memory_image_bytes": round(image),
            "memory_bytes": round(self.memory),
            "probes": [dataclasses.asdict(point) for point in self.probe.points],
            "full_at": self.probe.full_at,
            "largest_batch": self.largest_batch,
            "batch": run.training.batch,
            "asked_batch": self.asked_batch,
            "accumulate": run.training.accumulate,
            "images": run.total,
            "epochs": round(run.total / max(1, run.data.count), 2),
            "steps": run.total // run.training.batch,
            "step_seconds": self.step_seconds,
            "seconds": self.seconds,
            "hours": self.seconds / 3600,
            "asked_hours": self.hours,
            "epochs_in_time": self.epochs_in_time,
            "cost": None if self.price is None else self.price * self.seconds / 3600,
            "lighter": None if self.lighter is None else dataclasses.asdict(self.lighter),
            "command": self.command,
        }


def plan(
    recipe: str,
    data: list[str] | None = None,
    *,
    memory: str | float | None = None,
    hours: float | None = None,
    price: float | None = None,
    overrides: dict[str, Any] | None = None,
    tell: Tell | None = None,
) -> Plan:
    """Probes a recipe on its device and returns how it fits.

    memory: what the run may take, in bytes or as a text such as 8GB (default: what is free on the device). hours: what
    it may take. price: of an hour. overrides: settings by name, as for `resolve_run`. tell: called with each sentence.
    Raises I2IError on bad input, and if not one image of SMALLEST pixels fits."""
    limit = None if memory is None else bytes_of(memory)
    for name, value in (("hours", hours), ("price", price)):
        if value is not None and not 0 < value < float("inf"):
            raise I2IError(f"{name} is {value:g}.", "Allowed: more than 0.")
    settings = dict(overrides or {})
    tell = tell or (lambda _: None)
    is_auto = _is_auto(settings.get("batch"))
    if is_auto:
        settings.pop("batch")
    run = resolve_run(recipe, data, None, settings)
    if run.cost is None:
        run.build()  # says at once what is wrong
    limit = MARGIN * device_memory(device_of(run.training.device)) if limit is None else limit
    asked_size, asked_batch = run.shape.size, run.training.batch
    run, settings, probed = _fitting(run, settings, limit, tell)
    largest = largest_batch(probed, limit, run)
    if is_auto:
        settings["batch"] = _power_of_two(largest)
        run = resolve_run(recipe, run.sources, None, settings)
        bytes_needed = probed.memory[0] + probed.memory[1] * run.training.batch
    else:
        run, bytes_needed = _accumulated(run, settings, probed, limit, largest, tell)
    return _timed(run, probed, limit, largest, bytes_needed, (asked_batch, asked_size), hours, price)


def _fitting(run: Run, settings: dict[str, Any], limit: float, tell: Tell) -> tuple[Run, dict[str, Any], Probe]:
    """(run, settings, probe) of the first form of which one image fits: as asked; in bf16 on a GPU; then smaller."""
    forms: list[dict[str, Any]] = [{}]
    device = device_of(run.training.device)
    if device.type == "cuda" and precision_on(device, run.training.precision) == "fp32":
        forms.append({"precision": "bf16"})
    size = run.shape.size
    while size % 2 == 0 and size // 2 >= SMALLEST:
        size //= 2
        forms.append({**forms[-1], "size": size, **({"load": None} if "load" in settings else {})})
    failure: I2IError | None = None
    probed: Probe | None = None
    for form in forms:
        changed = {**settings, **form}
        try:
            candidate = resolve_run(run.recipe, run.sources, None, changed) if form else run
            tell(f"Measuring a few steps of {run.recipe} at {candidate.shape.size} pixels on {device}.")
            probed = probe_run(candidate, changed, limit, BUDGET)
            a, b = probed.memory
            if a + b <= limit:
                return candidate, changed, probed
            needed = f"A step of one image of {candidate.shape.size} pixels needs about {format_bytes(a + b)}"
        except I2IError as error:
            if form and failure is not None:  # smaller images do not go with these networks
                break
            if not _is_full(error):
                raise
            needed = error.what.rstrip(".")
        failure = failure or I2IError(
            f"{needed} of memory, and the limit is {format_bytes(limit)}.",
            "Give a larger --memory; a smaller --set width=N needs less, too.",
        )
        if probed is not None and probed.base > limit:  # without any image
            break
    assert failure is not None
    raise failure


def _is_full(error: I2IError) -> bool:
    return error.what.startswith("The memory is too small")


def probe_run(run: Run, settings: dict[str, Any], limit: float, budget: float) -> Probe:
    """Probes a resolved run. settings: the overrides that it was resolved with."""
    largest = min(MOST_BATCH, max(2, run.data.count))
    return probe(run.recipe, run.sources, settings, largest=largest, limit=limit, budget=budget)


def largest_batch(probed: Probe, limit: float, run: Run) -> int:
    """The largest batch that fits into `limit` bytes, at most the number of images; at least 1."""
    a, b = probed.memory
    fits = int((limit - a) / b) if b > 0 else MOST_BATCH
    if probed.full_at is not None:
        fits = min(fits, probed.full_at - 1)
    return max(1, min(fits, run.data.count, MOST_BATCH))


def _accumulated(
    run: Run, settings: dict[str, Any], probed: Probe, limit: float, largest: int, tell: Tell
) -> tuple[Run, float]:
    """(run, bytes) with the batch as asked, in as few micro-batches as fit; with the largest batch if none do."""
    batch, (a, b) = run.training.batch, probed.memory
    first = run.training.accumulate
    fitting = [k for k in range(first, batch + 1) if batch % k == 0 and batch // k <= largest]
    for parts in dict.fromkeys(fitting[:1] + fitting[-1:]):
        if parts == 1:
            return run, a + b * batch
        # Micro-batches share weights, but a method may keep some of their images: this is measured, too.
        tell(f"Measuring a step of {batch} images in {parts} parts.")
        shown = probe(
            run.recipe, run.sources, settings, largest=batch, limit=limit, budget=BUDGET, exactly=(batch, parts)
        )
        if shown.points and shown.points[-1].bytes <= limit:
            changed = {**settings, "accumulate": parts}
            return resolve_run(run.recipe, run.sources, None, changed), float(shown.points[-1].bytes)
    batch = _power_of_two(largest)
    return resolve_run(run.recipe, run.sources, None, {**settings, "batch": batch, "accumulate": 1}), a + b * batch


def _timed(
    run: Run,
    probed: Probe,
    limit: float,
    largest: int,
    memory: float,
    asked: tuple[int, int],
    hours: float | None,
    price: float | None,
) -> Plan:
    """The plan of a run whose batch is settled."""
    estimated = estimate(run, 0)
    training, (c, d) = run.training, probed.seconds
    step = training.accumulate * (c + d * training.batch / training.accumulate)
    step *= estimated.cost.mean if estimated.cost else 1.0
    seconds = step * (run.total / training.batch + estimated.extra_steps)
    estimated = dataclasses.replace(estimated, step_seconds=step, seconds=seconds, source="measured")
    epochs = None
    if hours is not None and seconds > 3600 * hours:
        epochs = run.total / max(1, run.data.count) * 3600 * hours / seconds
    too_long = seconds > (24 if hours is None else hours) * 3600
    return Plan(
        run=run,
        probe=probed,
        limit=limit,
        asked_batch=asked[0],
        asked_size=asked[1],
        largest_batch=largest,
        memory=memory,
        step_seconds=step,
        seconds=seconds,
        estimated=estimated,
        hours=hours,
        price=price,
        epochs_in_time=epochs,
        lighter=lighter(run, estimated, 5.0, easy=3600 * hours if hours else None) if too_long else None,
    )


def auto_batch(recipe: str, sources: list[str], overrides: dict[str, Any]) -> int:
    """The batch that `batch=auto` stands for: the largest power of two that fits into the device's free memory.

    It is a multiple of `accumulate`. Raises I2IError if one image does not fit."""
    asked = {k: v for k, v in {**recipes.recipe(recipe), **overrides}.items() if k == "accumulate"}
    parts = config.resolve(asked, {"training": TrainSettings})["training"].accumulate
    settings = {**overrides, "batch": 1, "accumulate": 1}
    run = resolve_run(recipe, sources, None, settings)
    limit = MARGIN * device_memory(device_of(run.training.device))
    batch = _power_of_two(largest_batch(probe_run(run, settings, limit, BUDGET), limit, run))
    return max(parts, batch - batch % parts)


def _is_auto(batch: Any) -> bool:
    return isinstance(batch, str) and batch.strip().lower() == "auto"


def _power_of_two(number: int) -> int:
    return 1 << (max(1, number).bit_length() - 1)


def bytes_of(text: str | float) -> float:
    """Bytes of a size such as 8GB, 7.5 GiB or 800m. Raises I2IError if it is none, or if it is 0."""
    if isinstance(text, int | float):
        number, unit = float(text), ""
    else:
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*([a-z]*)\s*", text, re.IGNORECASE)
        if match is None or match[2].upper() not in UNITS:
            raise I2IError(f"memory is {text!r}.", "Give a size such as 8GB, 7.5GiB or 800MB.")
        number, unit = float(match[1]), match[2].upper()
    size = number * UNITS[unit]
    if not 0 < size < float("inf"):
        raise I2IError(f"memory is {text!r}.", "Allowed: more than 0, such as 8GB.")
    return size
