"""The contract of `Method`, checked on one class and one batch before a run: each fault is one sentence with its line.

    check_class    what can be seen without an instance: Config, and the four functions
    check_batch    one step without an update, `infer`, and the saved model, built again in memory
    check_item     what a step yields; the training loop calls it when a later step fails

A check leaves the method and the random states exactly as they were.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.core.errors import I2IError
from i2i.core.user_code import place_of, shown, told_with_line
from i2i.data.batch import Batch
from i2i.methods._bases import Generate
from i2i.methods._check_config import check_config
from i2i.methods._method import Method, Now
from i2i.methods._snapshot import untouched

MOST_YIELDS = 250  # in one step
CHECKED_YIELDS = 20  # with a backward pass
DIFFERENT = 0.02  # of values in [-1, 1]: above the rounding of another device or memory layout, below what one sees
EXAMPLES = {
    "optimizers": 'return {"G": adam([self.G], lr=2e-4, beta1=0.5)}',
    "step": 'yield "G", {"l1": l1(self.G(batch.x), batch.y)}',
    "infer": "return self.G(batch.x)",
}


def check_class(kind: type[Method]) -> None:
    """Raises I2IError for the first fault of a method's class that can be seen without an instance."""
    check_config(kind)
    for name, example in EXAMPLES.items():
        if getattr(kind, name) is getattr(Method, name):
            arguments = {"optimizers": "self", "step": "self, batch, now", "infer": "self, batch"}[name]
            raise I2IError(f"{_name(kind)} has no {name}({arguments}).", f"For example: {example}")
    if issubclass(kind, Generate) and kind.latent_of.__func__ is Generate.latent_of.__func__:  # type: ignore[attr-defined]
        for name, example in (("z", "z: int = 100"), ("noise", 'noise: str = "normal"')):
            if not hasattr(kind.Config, name):
                raise I2IError(
                    f"The Config of {_name(kind)} has no {name}, from which Generate makes its noise.",
                    f"Write `{example}`, or define latent_of.",
                )
    if isinstance(kind.averaged, str):
        raise I2IError(
            f"averaged of {_name(kind)} is the text {kind.averaged!r}, not a tuple.",
            f'Write `averaged = ("{kind.averaged}",)`, with the comma.',
        )
    if not kind.averaged:
        raise I2IError(f"averaged of {_name(kind)} is empty, so a saved model would hold nothing.", 'Name "G", say.')


def check_batch(method: Method, batch: Batch, now: Now) -> None:
    """Raises I2IError for the first fault of a method on one batch; see `Method.check`."""
    with untouched(method), told_with_line():
        check_class(type(method))
        optimizers = method.optimizers()
        check_optimizers(method, optimizers)
        _check_averaged(method)
        _check_schedule(method)
        method.train()
        _check_step(method, batch, now, optimizers)
        method.eval()
        with torch.no_grad():
            images = method.infer(batch)
            _check_images(method, images, batch)
            if type(method).preview is not Method.preview:
                _check_preview(method, batch)
            _check_saved(method, batch, images)


# ---- optimizers ----------------------------------------------------------------------------------------------------


def check_optimizers(method: Method, optimizers: Any) -> None:
    """Raises I2IError unless `optimizers` is {name: optimizer} and each optimizer owns whole networks."""
    where = f"optimizers() of {_name(type(method), 'optimizers')}"
    if not isinstance(optimizers, dict) or not optimizers:
        given = f"returns {_a(optimizers)}" if not isinstance(optimizers, dict) else "returns an empty dict"
        raise I2IError(f"{where} {given}.", 'It must return a dict {name: optimizer}, such as {"D": ..., "G": ...}.')
    for name, optimizer in optimizers.items():
        if not isinstance(name, str) or not isinstance(optimizer, Optimizer):
            raise I2IError(
                f"{where} has {_a(optimizer)} under {name!r}.", "Each value must be a torch.optim.Optimizer, by a name."
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
    found = (n for n, net in method.networks().items() if any(p is parameter for p in net.parameters()))
    return next(found, "the method")


# ---- the step ------------------------------------------------------------------------------------------------------


def _check_step(method: Method, batch: Batch, now: Now, optimizers: dict[str, Optimizer]) -> None:
    """Runs one step and its backward passes, without an update."""
    steps = method.step(batch, now)
    if not isinstance(steps, Iterator):
        given = "nothing" if steps is None else _a(steps)
        raise I2IError(
            f"step of {_name(type(method), 'step')} returns {given}; it must be a generator.",
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
            f"{where}: step yields {_a(item)}; it must yield an optimizer's name and its terms.",
            f"For example: {EXAMPLES['step']}",
        )
    name, terms = item
    if name not in optimizers:
        raise I2IError(
            f"{where}: step yields {name!r}, but optimizers() has no optimizer of that name.", f"It has {names}."
        )
    if not isinstance(terms, dict) or not terms:
        given = "an empty dict" if isinstance(terms, dict) else _a(terms)
        raise I2IError(
            f"{where}: step yields {given} as the terms of {name!r}.",
            'The terms are a dict {term: loss}, such as {"l1": loss}.',
        )
    for term, value in terms.items():
        if not isinstance(value, Tensor):
            raise I2IError(
                f"{where}: the term {term!r} of {name!r} is {_a(value)}, not a tensor.",
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


# ---- images, schedule, saved model ---------------------------------------------------------------------------------


def _check_averaged(method: Method) -> None:
    networks = method.networks()
    for name in method.averaged:
        if name in networks:
            continue
        known = " and ".join(networks) or "none"
        guess = next(iter(networks), "G")
        raise I2IError(
            f"{_name(type(method))} has no network {name!r}, which averaged names; its networks are {known}.",
            f'Name those that a saved model needs, the translating or generating one first: averaged = ("{guess}",)',
        )


def _check_schedule(method: Method) -> None:
    for fraction in (0.0, 0.5, 1.0):
        factor = method.lr_factor(fraction)
        if not isinstance(factor, int | float) or not 0 <= factor < float("inf"):
            raise I2IError(
                f"lr_factor({fraction:g}) of {_name(type(method), 'lr_factor')} returns {factor!r}.",
                "It must return a number of 0 or more, which multiplies every learning rate.",
            )


def _check_images(method: Method, images: Any, batch: Batch, by: str = "infer") -> None:
    """Raises I2IError unless `images` is [B, C, H, W] in [-1, 1]."""
    where = f"{by} of {_name(type(method), by)}"
    if not isinstance(images, Tensor):
        raise I2IError(f"{where} returns {_a(images)}.", "It must return a tensor of images [B, C, H, W].")
    channels = method.shape.channels_out if method.needs in ("paired", "unpaired") else method.shape.channels_in
    wanted = f"[{len(batch)}, {channels}, H, W]"
    if images.ndim != 4 or (by == "infer" and images.shape[:2] != (len(batch), channels)):
        raise I2IError(f"{where} returns the shape {list(images.shape)}.", f"It must be {wanted} for this batch.")
    low, high = float(images.min()), float(images.max())
    if not (low >= -1.001 and high <= 1.001):  # also where one of them is not a number
        raise I2IError(
            f"{where} returns values from {low:.2f} to {high:.2f}.",
            "Images lie in [-1, 1]: let the generator end with nn.Tanh(), or clamp them in its forward.",
        )


def _check_preview(method: Method, batch: Batch) -> None:
    columns = method.preview(batch)
    if not isinstance(columns, dict) or not columns:
        raise I2IError(
            f"preview of {_name(type(method), 'preview')} returns {_a(columns)}.", "It must return {title: images}."
        )
    for images in columns.values():
        _check_images(method, images, batch, "preview")


def _check_saved(method: Method, batch: Batch, expected: Tensor) -> None:
    """Builds the networks again from what a saved model holds, and compares what they make with `expected`."""
    from i2i.methods._saved import build_again, images_of, saved_header

    header = saved_header(method)
    try:
        json.dumps(header)
    except TypeError as error:
        raise I2IError(
            f"facts(config) of {_name(type(method), 'facts')} returns what JSON cannot hold: {error}.",
            "Return numbers, texts, yes/no, lists and dicts.",
        ) from error
    live = {name: method.networks()[name] for name in method.averaged}
    rebuilt = build_again(type(method), live, header)
    if header.get("dropout_at_test"):
        return
    difference = _difference(lambda: images_of(method, rebuilt, header, batch), expected)
    if difference <= DIFFERENT:
        return
    first = method.averaged[0]
    if _difference(lambda: images_of(method, live, header, batch), expected) > DIFFERENT:
        call = f"{first}(z)" if header.get("kind") == "generate" else f"{first}(batch.x)"
        raise I2IError(
            f"infer of {_name(type(method), 'infer')} gives other images than {call}, which is what a saved model "
            "computes.",
            f"Move what infer adds into the forward of {first}.",
        )
    raise I2IError(
        f"{first} of {_name(type(method))} gives other images once it is saved and built again.",
        "Everything its forward uses must be a parameter, a registered buffer, or follow from its arguments.",
    )


def _difference(images: Callable[[], Tensor], expected: Tensor) -> float:
    made = images()
    if made.shape != expected.shape:
        return float("inf")
    return float((made.float().cpu() - expected.float().cpu().clamp(-1, 1)).abs().max())


# ---- words ---------------------------------------------------------------------------------------------------------


def _name(kind: type[Method], member: str = "") -> str:
    """ "Toy (mine.py, line 9)": a class with the place of the class, or of a member of it."""
    function = getattr(kind, member, None) if member else None
    function = getattr(function, "__func__", function)
    return f"{kind.__name__} ({place_of(function or kind)})"


def _a(value: Any) -> str:
    """A value's type in words: "a list", "an Adam", "None"."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
