"""A method's own loss terms, computed with one generator or another, and the gaps between them.

Self-supervised compression (Yu and Pool 2020, arXiv 2007.01491) compares what the training of the original minimized,
once with the original's images and once with those of the compressed generator. A method says its terms once, in
`step`; here they are collected from it, without updates in between.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from i2i.core.random import seed_of
from i2i.data.batch import Batch
from i2i.methods._method import Method, Now, Terms
from i2i.nets.image_pool import ImagePool

Yielded = dict[str, Terms]  # {optimizer: {term: scalar}} of one step
Changes = list[Callable[[], object]]  # of weights, that a step makes after an update
SMALL = 1e-6  # terms of the original nearer to 0 than this count as this much, or their gap would explode


class _Watched(TorchFunctionMode):
    """While active, with `attached` `detach` does nothing: gradients reach the generator through the discriminator's
    terms, too. Weights stay: where a step clamps them (WGAN), that is written down in `later` instead."""

    def __init__(self, attached: bool, later: Changes) -> None:
        super().__init__()
        self.attached, self.later = attached, later

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.attached and function is Tensor.detach:
            with torch.enable_grad():  # a pool of fakes is asked without
                return args[0].view_as(args[0])  # another tensor, whose flags can be changed
        if function is Tensor.clamp_ and isinstance(args[0], nn.Parameter):
            self.later.append(functools.partial(function, *args, **(kwargs or {})))
            return args[0]
        return function(*args, **(kwargs or {}))


@contextlib.contextmanager
def with_generator(method: Method, name: str, generator: nn.Module) -> Iterator[None]:
    """While active, `generator` is the network `name` of the method, and its pools of earlier fakes are out of use."""
    own, pools = method.get_submodule(name), [m for m in method.modules() if isinstance(m, ImagePool)]
    sizes = [pool.size for pool in pools]
    setattr(method, name, generator)
    for pool in pools:
        pool.size = 0
    try:
        yield
    finally:
        setattr(method, name, own)
        for pool, size in zip(pools, sizes, strict=True):
            pool.size = size


@contextlib.contextmanager
def untouched_buffers(network: nn.Module) -> Iterator[None]:
    """While active, the network has copies of its buffers: what a pass changes in them is forgotten."""
    own = [(m, key, value) for m in network.modules() for key, value in m._buffers.items() if value is not None]
    for module, key, value in own:
        module._buffers[key] = value.clone()
    try:
        yield
    finally:
        for module, key, value in own:
            module._buffers[key] = value


def own_terms(
    method: Method,
    name: str,
    generator: nn.Module,
    batch: Batch,
    now: Now,
    attached: bool = True,
    later: Changes | None = None,
) -> Yielded:
    """The terms of one step of `method` with `generator` as its network `name`, none of them minimized.

    attached: gradients reach the generator through all terms. later: gets the changes of weights that the step makes
    after an update, for the caller to make. Every call draws the same random numbers."""
    yielded: Yielded = {}
    devices = [batch.x.device] if batch.x.is_cuda else []
    with with_generator(method, name, generator), torch.random.fork_rng(devices):
        torch.manual_seed(seed_of("compress", now.seed, now.images))
        with _Watched(attached, [] if later is None else later):
            for optimizer, terms in method.step(batch, now):
                yielded[optimizer] = {**yielded.get(optimizer, {}), **terms}
    return yielded


def at_end(now: Now) -> Now:
    """The moment as a method sees it that was trained to its end: after a warm-up, and in its last phase."""
    return dataclasses.replace(now, images=now.images + now.total)


@torch.no_grad()
def make_changes(changes: Changes) -> None:
    """Makes the changes of weights that a step would have made after its update, once."""
    for change in changes:
        change()
    changes.clear()


def gap(original: Tensor, compressed: Tensor, small: float = SMALL) -> Tensor:
    """|original - compressed| / |original|: how far a term has moved from what it was, whatever its unit."""
    return (original - compressed).abs() / original.abs().clamp_min(small)


def gaps(original: Terms, compressed: Terms, weights: Mapping[str, float], small: float = SMALL) -> Terms:
    """The weighted gaps of the terms of one optimizer.

    A discriminator's terms on real images and fakes are one term, and so are the terms of the two ways of one cycle.
    A term without an entry in `weights` has weight 1."""
    gathered: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for name, value in original.items():
        title = name if torch.equal(value, compressed[name]) and not _judges(name) else joined(name)
        gathered.setdefault(title, []).append((value, compressed[name]))
    return {
        title: weights.get(title, 1.0) * gap(sum_of([o for o, _ in pairs]), sum_of([c for _, c in pairs]), small)
        for title, pairs in gathered.items()
    }


def joined(term: str) -> str:
    """The name under which a term is added to others: "dis_x" of "real_x" and "fake_x", "cycle" of "cycle_x"."""
    bare, side = (term[:-2], term[-2:]) if term.endswith(("_x", "_y")) else (term, "")
    return f"dis{side}" if _judges(term) else bare


def _judges(term: str) -> bool:
    return term.startswith(("real", "fake"))


def sum_of(terms: list[Tensor]) -> Tensor:
    """The sum of scalars."""
    return torch.stack(terms).sum()
