"""What a step of a run costs, counted without computing anything: MACs, activations, sizes of states and samples."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from i2i.data.batch import Batch, Shape
from i2i.methods._method import Method, Now
from i2i.nets.macs import MacCounter, Macs, by_network, no_computing
from i2i.training.run import Run

MOST_STEPS = 8  # in which every optimizer has its turn, usually
PREVIEWS = 8  # rows of a sample grid
PHASE = 60  # G's turn comes every n-th step, and most n divide 60


@dataclass(frozen=True)
class Cost:
    """What the networks of a run cost. Bytes are those of float32."""

    networks: dict[str, Macs]  # of one image through each network that a step calls
    parameters: dict[str, int]  # of each network
    types: dict[str, str]  # class of each network
    step: int  # MACs of the forward passes of the step `at`, which is one with a turn of every optimizer
    mean: float  # MACs of a step on the average of the run, divided by `step`
    at: int  # number of that step
    activations: int  # bytes that the forward passes of that step keep for the backward pass, about
    state: int  # bytes of a checkpoint
    model: int  # bytes of the saved model
    samples: int  # bytes of a sample grid without compression
    preview: int  # MACs of a sample grid
    double_backward: bool = False  # True if a loss differentiates through a gradient

    @property
    def parameter_count(self) -> int:
        """The parameters of all networks."""
        return sum(self.parameters.values())


def cost_of(run: Run) -> Cost | None:
    """Counts the cost of a run's steps, for one micro-batch; `run.cost` keeps it. None if the method cannot run without
    values of its tensors.

    The networks are built without memory, so this takes about a second, also for large ones."""
    try:
        with torch.random.fork_rng(devices=[]), no_computing() as counter:
            return _cost(run, run.build().train(), counter)
    except Exception:  # A method of a user's own may do anything with its tensors.
        logging.getLogger(__name__).debug("The costs of %s are not known.", run.recipe, exc_info=True)
        return None


def _cost(run: Run, method: Method, counter: MacCounter) -> Cost:
    optimizers = method.optimizers()
    batch = empty_batch(run, run.micro_batch)

    # At the end of the run all stages are there: the first few steps until each optimizer has had its turn.
    last = max(0, run.total // run.training.batch - 1)
    first = last - last % PHASE if last > PHASE else 0
    turns: set[str] = set()
    works: list[int] = []
    activations = 0
    with by_network(method.networks(), counter) as networks:
        for number in itertools.islice(itertools.count(first), MOST_STEPS):
            work, names, kept = _step(run, method, batch, number, counter)
            turns |= names
            works.append(work)
            activations = max(activations, kept)
            if turns >= optimizers.keys():
                break
    at = first + works.index(max(works))

    # A method whose networks grow is cheaper at the start.
    mean = sum(works) / len(works)
    shares = [1.0]
    if first and _step(run, method, batch, 0, counter)[0] != works[0]:
        moments = [round(first * k / 4) // PHASE * PHASE for k in range(5)]
        shares = [_step(run, method, batch, m, counter)[0] / max(1, works[0]) for m in moments]

    # Sizes on the disk.
    parameters = {name: sum(p.numel() for p in net.parameters()) for name, net in method.networks().items()}
    owned = {id(p): p.numel() for o in optimizers.values() for p in method.owned(o)}
    averaged = sum(_numel(getattr(method, name)) for name in method.averaged)
    state = _numel(method) + 2 * sum(owned.values()) + (averaged if run.training.ema else 0)
    before = Macs.of(counter.total).work
    with torch.no_grad():
        columns = method.preview(empty_batch(run, PREVIEWS))
    return Cost(
        networks=networks,
        parameters=parameters,
        types={name: type(net).__name__ for name, net in method.networks().items()},
        step=max(works),
        mean=mean / max(1, *works) * sum(shares) / len(shares),
        at=at,
        activations=activations,
        state=4 * state,
        model=4 * averaged,
        samples=sum(x.numel() for x in columns.values()),
        preview=Macs.of(counter.total).work - before,
        double_backward=method.double_backward,
    )


def _step(run: Run, method: Method, batch: Batch, number: int, counter: MacCounter) -> tuple[int, set[str], int]:
    """(MACs, names of the optimizers, bytes kept in the turn that keeps most) of the step `number`."""
    before = Macs.of(counter.total).work
    now = moment(run, number)
    names: set[str] = set()
    most = 0
    with _kept() as kept:
        for name, _ in method.step(replace(batch), now):
            names.add(name)
            most = max(most, sum(kept.values()))
            kept.clear()
    return Macs.of(counter.total).work - before, names, most


def moment(run: Run, number: int) -> Now:
    """The moment of the step `number` of a run."""
    batch = run.training.batch
    return Now(images=number * batch, total=run.total, batch=batch, seed=run.training.seed)


def empty_batch(run: Run, n: int) -> Batch:
    """A batch of `n` images without content, of the layout of the run's data."""
    shape: Shape = run.shape
    x = torch.zeros(n, shape.channels_in, shape.size_in, shape.size_in)
    domains = shape.domains
    has_y = run.data.layout in ("paired", "unpaired") or (domains is not None and domains.both)
    y = torch.zeros(n, shape.channels_out, shape.size, shape.size) if has_y else None
    c = torch.zeros(n, dtype=torch.int64) if shape.classes or (domains is not None and domains.classes) else None
    if domains is not None and domains.bits:
        c = torch.zeros(n, len(domains.names))
    return Batch(x, y, c, torch.arange(n))


@contextmanager
def _kept() -> Iterator[dict[int, int]]:
    """While active, fills the dict that it yields: bytes that autograd keeps, by the identity of their storage."""
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
        yield kept


def _numel(module: nn.Module) -> int:
    return sum(t.numel() for t in module.state_dict().values())
