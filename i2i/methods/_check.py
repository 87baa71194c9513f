"""The contract of `Method`, checked on one class and one batch before a run: each fault is one sentence with its line.

    check_class    what can be seen without an instance: Config, and the four functions
    check_batch    one step without an update, `infer`, and the saved model, built again in memory

A check leaves the method and the random states exactly as they were.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from i2i.core.errors import I2IError
from i2i.core.user_code import told_with_line
from i2i.data.batch import Batch
from i2i.methods._bases import Generate
from i2i.methods._check_config import check_config
from i2i.methods._check_step import check_optimizers, check_step
from i2i.methods._check_words import EXAMPLES, titled, typed
from i2i.methods._method import Method, Now
from i2i.methods._snapshot import untouched

DIFFERENT = 0.02  # of values in [-1, 1]: above the rounding of another device or memory layout, below what one sees


def check_class(kind: type[Method]) -> None:
    """Raises I2IError for the first fault of a method's class that can be seen without an instance."""
    check_config(kind)
    for name, example in EXAMPLES.items():
        if getattr(kind, name) is getattr(Method, name):
            arguments = {"optimizers": "self", "step": "self, batch, now", "infer": "self, batch"}[name]
            raise I2IError(f"{titled(kind)} has no {name}({arguments}).", f"For example: {example}")
    if issubclass(kind, Generate) and kind.latent_of.__func__ is Generate.latent_of.__func__:  # type: ignore[attr-defined]
        for name, example in (("z", "z: int = 100"), ("noise", 'noise: str = "normal"')):
            if not hasattr(kind.Config, name):
                raise I2IError(
                    f"The Config of {titled(kind)} has no {name}, from which Generate makes its noise.",
                    f"Write `{example}`, or define latent_of.",
                )
    if isinstance(kind.averaged, str):
        raise I2IError(
            f"averaged of {titled(kind)} is the text {kind.averaged!r}, not a tuple.",
            f'Write `averaged = ("{kind.averaged}",)`, with the comma.',
        )
    if not kind.averaged:
        raise I2IError(f"averaged of {titled(kind)} is empty, so a saved model would hold nothing.", 'Name "G", say.')


def check_batch(method: Method, batch: Batch, now: Now) -> None:
    """Raises I2IError for the first fault of a method on one batch; see `Method.check`."""
    with untouched(method), told_with_line():
        check_class(type(method))
        optimizers = method.optimizers()
        check_optimizers(method, optimizers)
        _check_averaged(method)
        _check_schedule(method)
        method.train()
        check_step(method, batch, now, optimizers)
        method.eval()
        with torch.no_grad():
            images = method.infer(batch)
            _check_images(method, images, batch)
            if not type(method).preview.__module__.startswith("i2i.methods."):
                _check_preview(method, batch)
            _check_saved(method, batch, images)


# ---- images, schedule, saved model ---------------------------------------------------------------------------------


def _check_averaged(method: Method) -> None:
    networks = method.networks()
    for name in method.averaged:
        if name in networks:
            continue
        known = " and ".join(networks) or "none"
        guess = next(iter(networks), "G")
        raise I2IError(
            f"{titled(type(method))} has no network {name!r}, which averaged names; its networks are {known}.",
            f'Name those that a saved model needs, the translating or generating one first: averaged = ("{guess}",)',
        )


def _check_schedule(method: Method) -> None:
    for fraction in (0.0, 0.5, 1.0):
        factor = method.lr_factor(fraction)
        if not isinstance(factor, int | float) or not 0 <= factor < float("inf"):
            raise I2IError(
                f"lr_factor({fraction:g}) of {titled(type(method), 'lr_factor')} returns {factor!r}.",
                "It must return a number of 0 or more, which multiplies every learning rate.",
            )


def _check_images(method: Method, images: Any, batch: Batch, by: str = "infer") -> None:
    """Raises I2IError unless `images` is [B, C, H, W] in [-1, 1]."""
    where = f"{by} of {titled(type(method), by)}"
    if not isinstance(images, Tensor):
        raise I2IError(f"{where} returns {typed(images)}.", "It must return a tensor of images [B, C, H, W].")
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
            f"preview of {titled(type(method), 'preview')} returns {typed(columns)}.", "It must return {title: images}."
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
            f"facts(config) of {titled(type(method), 'facts')} returns what JSON cannot hold: {error}.",
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
            f"infer of {titled(type(method), 'infer')} gives other images than {call}, which is what a saved model "
            "computes.",
            f"Move what infer adds into the forward of {first}.",
        )
    raise I2IError(
        f"{first} of {titled(type(method))} gives other images once it is saved and built again.",
        "Everything its forward uses must be a parameter, a registered buffer, or follow from its arguments.",
    )


def _difference(images: Callable[[], Tensor], expected: Tensor) -> float:
    """The largest difference of what `images` gives from `expected`; infinite if the shapes differ."""
    actual = images()
    if actual.shape != expected.shape:
        return float("inf")
    return float((actual.float().cpu() - expected.float().cpu().clamp(-1, 1)).abs().max())
