"""What a method's optimizers own, and what its step yields, checked without an update."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.core.errors import I2IError
from i2i.core.user_code import place_of, shown
from i2i.data.batch import Batch
from i2i.methods._check_words import EXAMPLES, titled, typed
from i2i.methods._method import Method, Now

MOST_YIELDS = 250  # in one step
CHECKED_YIELDS = 20  # with a backward pass


def check_optimizers(method: Method, optimizers: Any) -> None:
    """Raises I2IError unless `optimizers` is {name: optimizer} and each optimizer owns whole networks."""
    where = f"optimizers() of {titled(type(method), 'optimizers')}"
    if not isinstance(optimizers, dict) or not optimizers:
        returned = typed(optimizers) if not isinstance(optimizers, dict) else "an empty dict"
        raise I2IError(
            f"{where} returns {returned}.", 'It must return a dict {name: optimizer}, such as {"D": ..., "G": ...}.'
        )
    for name, optimizer in optimizers.items():
        if not isinstance(name, str) or not isinstance(optimizer, Optimizer):
            raise I2IError(
                f"{where} has {typed(optimizer)} under {name!r}.",
                "Each value must be a torch.optim.Optimizer, by a name.",
            )
    owner: dict[int, str] = {}
    for name, optimizer in optimizers.items():
        for parameter in method.owned(optimizer):
            if owner.setdefault(id(parameter), name) != name:
                other = owner[id(parameter)]
                raise I2IError(
                    f"{where} gives parameters of {_network_of(method, parameter)} to both {other!r} and {name!r}.",
                    "Each network must belong to one optimizer.",
                )
    inside = {id(p) for net in method.networks().values() for p in net.parameters()}
    for name, optimizer in optimizers.items():
        if any(id(p) not in inside for p in method.owned(optimizer)):
            raise I2IError(
                f"{where} gives {name!r} a parameter that belongs to no network of the method.",
                "Put the parameter into an nn.Module, and assign that in __init__: self.G = ...",
            )
    for network, net in method.networks().items():
        owners = {owner.get(id(p), "") for p in net.parameters() if p.requires_grad}
        if len(owners) > 1:
            names = sorted(o for o in owners if o)
            parts = f"{names[0]!r} and {names[1]!r} a part each" if len(names) > 1 else f"{names[0]!r} only a part"
            raise I2IError(
                f"{where} gives {parts} of the network {network}.",
                "An optimizer owns whole networks; parts with another learning rate are parameter groups of it.",
            )


def _network_of(method: Method, parameter: Tensor) -> str:
    names = (name for name, net in method.networks().items() if any(p is parameter for p in net.parameters()))
    return next(names, "the method")


# ---- the step ------------------------------------------------------------------------------------------------------


def check_step(method: Method, batch: Batch, now: Now, optimizers: dict[str, Optimizer]) -> None:
    """Runs one step and its backward passes, without an update."""
    steps = method.step(batch, now)
    if not isinstance(steps, Iterator):
        returned = "nothing" if steps is None else typed(steps)
        raise I2IError(
            f"step of {titled(type(method), 'step')} returns {returned}; it must be a generator.",
            f"Yield each optimizer's turn: {EXAMPLES['step']}",
        )
    for count, item in enumerate(steps, 1):
        where = line_of(method, steps)
        if count > MOST_YIELDS:
            raise I2IError(
                f"{where}: step does not end; it has yielded {MOST_YIELDS} times.",
                "A step handles one batch; the loop calls it for each.",
            )
        check_item(item, optimizers, where)
        name, terms = item
        parameters = [p for p in method.owned(optimizers[name]) if p.requires_grad]
        for term, value in terms.items():
            if not value.requires_grad and value.item() == 0:  # a loss that is off in this step
                continue
            if not value.requires_grad:
                raise I2IError(
                    f"{where}: the term {term!r} of {name!r} has no gradient.",
                    "Compute it from the network's output, without detach(), item() and torch.no_grad().",
                )
            if not _depends_on(value, parameters):
                raise I2IError(
                    f"{where}: the term {term!r} has no gradient for the parameters of optimizer {name!r}.",
                    f"Yield it with the optimizer whose networks it trains, or compute it from those of {name!r}.",
                )
        # What the loop will do; it frees the graph, so a second use of it fails here as it would there.
        learning = [v for v in terms.values() if v.requires_grad]
        if learning and count <= CHECKED_YIELDS:
            _backward(torch.stack([v.float() for v in learning]).sum(), parameters, where, name)


def check_item(item: Any, optimizers: dict[str, Optimizer], where: str) -> None:
    """Raises I2IError unless a step yielded (name of an optimizer, {term: scalar tensor}). where: its file and line."""
    names = " and ".join(map(repr, optimizers))
    if not (isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)):
        raise I2IError(
            f"{where}: step yields {typed(item)}; it must yield an optimizer's name and its terms.",
            f"For example: {EXAMPLES['step']}",
        )
    name, terms = item
    if name not in optimizers:
        raise I2IError(
            f"{where}: step yields {name!r}, but optimizers() has no optimizer of that name.", f"It has {names}."
        )
    if not isinstance(terms, dict) or not terms:
        yielded = "an empty dict" if isinstance(terms, dict) else typed(terms)
        raise I2IError(
            f"{where}: step yields {yielded} as the terms of {name!r}.",
            'The terms are a dict {term: loss}, such as {"l1": loss}.',
        )
    for term, value in terms.items():
        if not isinstance(value, Tensor):
            raise I2IError(
                f"{where}: the term {term!r} of {name!r} is {typed(value)}, not a tensor.",
                "Yield the loss itself, without item() or float().",
            )
        if value.ndim:
            raise I2IError(
                f"{where}: the term {term!r} of {name!r} has the shape {list(value.shape)}; a term is a scalar.",
                "Take its mean: loss.mean()",
            )


def line_of(method: Method, steps: Any) -> str:
    """File and line of the `yield` at which a running step of `method` stands."""
    home = inspect.getsourcefile(type(method))
    frame = getattr(steps, "gi_frame", None)
    running = [steps, *(frame.f_locals.values() if frame is not None else ())]  # a step may run inside of another one
    for step in running:
        inner = step.gi_frame if inspect.isgenerator(step) else None
        if inner is not None and inner.f_code.co_filename == home:
            return f"{shown(home)}, line {inner.f_lineno}"
    return place_of(type(method).step)


def _depends_on(loss: Tensor, parameters: list[nn.Parameter]) -> bool:
    """True if the graph of `loss` leads to one of the parameters."""
    wanted = {id(p) for p in parameters}
    waiting, seen = [loss.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if id(getattr(node, "variable", None)) in wanted:
            return True
        waiting += [following for following, _ in node.next_functions]
    return id(loss) in wanted


def _backward(loss: Tensor, parameters: list[nn.Parameter], where: str, name: str) -> None:
    """The backward pass that the loop will make; it touches no `.grad`. Raises I2IError if it fails."""
    try:
        torch.autograd.grad(loss, parameters, allow_unused=True)
    except RuntimeError as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise
        text = " ".join(str(error).split()).split(" (saved tensors have")[0].split(". ")[0].rstrip(".")
        again = "through the graph a second time" in text
        raise I2IError(
            f"{where}: the loss of {name!r} has no backward pass: {text}.",
            "Detach what an earlier yield has used, or compute it again." if again else "",
        ) from error
