"""Thin bases of the methods and the parts they are put together from: networks by name, Adam, learning-rate curves."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.data.batch import Batch, Shape
from i2i.methods._method import Method, Now
from i2i.nets.blocks import eval_mode
from i2i.nets.latent import Latent


class Translate(Method):
    """x -> y by one generator G."""

    G: nn.Module

    def infer(self, batch: Batch) -> Tensor:
        """G(x) [B, C, H, W] in [-1, 1]."""
        y: Tensor = self.G(batch.x)
        return y


class TwoWay(Method):
    """x <-> y by two generators, G: x -> y and F: y -> x."""

    needs: ClassVar[str] = "unpaired"
    averaged: ClassVar[tuple[str, ...]] = ("G", "F")
    G: nn.Module
    F: nn.Module

    def infer(self, batch: Batch) -> Tensor:
        """G(x) [B, C, H, W] in [-1, 1]."""
        y: Tensor = self.G(batch.x)
        return y

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Both directions: the image, its translation, and the way back."""
        fake_y = self.G(batch.x)
        columns = {"A": batch.x, "A to B": fake_y, "and back": self.F(fake_y)}
        if batch.y is not None:
            fake_x = self.F(batch.y)
            columns |= {"B": batch.y, "B to A": fake_x, "and back ": self.G(fake_x)}
        return columns


class Generate(Method):
    """z -> an image by one generator G(z), or G(z, c) with a class c [B] where `needs` is "labelled".

    Sub-classes call `super().__init__(config, shape)`, which sets `latent`; their Config has `z` (width) and `noise`
    (a kind of `Latent`), or they override `latent_of`. `facts` goes into the saved model's header: kind, latent, and
    what else a sub-class adds: "sizes" (images G(z, size=N) can make, all but the last being earlier stages of a
    growing generator), "standing" (batches of noise to recompute batch-norm statistics from when z is truncated)."""

    needs: ClassVar[str] = "images"
    averaged: ClassVar[tuple[str, ...]] = ("G",)
    discriminators: ClassVar[tuple[str, ...]] = ("D",)
    G: nn.Module
    D: nn.Module

    def __init__(self, config: Any, shape: Shape) -> None:
        super().__init__(config, shape)
        self.latent = self.latent_of(config)
        self.classes = shape.classes
        if self.needs == "labelled" and shape.classes < 2:
            raise I2IError("This method needs labelled images.", "Give a folder with one folder a class.")

    @classmethod
    def latent_of(cls, config: Any) -> Latent:
        """The noise that a Config asks for."""
        return Latent(((config.noise, config.z),))

    @classmethod
    def facts(cls, config: Any) -> dict[str, Any]:
        """What `i2i generate` must know of a saved model beside its networks."""
        return {"kind": "generate", "latent": [list(part) for part in cls.latent_of(config).parts]}

    def draw(self, batch: Batch, now: Now, salt: str) -> Tensor:
        """Fresh noise z [B, width] for a batch in training, another for each `salt`; on the batch's device."""
        return self.latent.draw(sample_ids(batch, now), now.seed, salt).to(batch.x)

    def infer(self, batch: Batch) -> Tensor:
        """Images [B, C, H, W] in [-1, 1], one for each id: those that `i2i generate --seed ID` makes. Classes are the
        batch's own, or go round."""
        ids = sample_ids(batch)
        z = self.latent.draw(ids).to(batch.x)
        if self.needs != "labelled":
            return self._picture(z)
        return self._picture(z, ids % self.classes if batch.c is None else batch.c)

    def _picture(self, *inputs: Tensor) -> Tensor:
        made: Tensor = self.G(*inputs)
        return made

    def score(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The discriminator's raw scores [B] of images, for their classes where there are any."""
        found: Tensor = self.D(x) if self.needs != "labelled" else self.D(x, c)
        return found

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """64 images from noise that stays the same; with classes a column of eight each, for ten at most."""
        ids = torch.arange(64, device=batch.x.device)
        if self.needs != "labelled":
            return {"samples": self.infer(Batch(batch.x, ids=ids))}
        rows, titles = ids[:8], self.class_titles or [f"class {k}" for k in range(self.classes)]
        return {
            title: self.infer(Batch(batch.x, c=torch.full_like(rows, k), ids=rows))
            for k, title in enumerate(titles[:10])
        }

    def example(self, shape: Shape) -> tuple[Tensor, ...]:
        """Inputs of G for one image, to measure its memory by."""
        z = torch.zeros(1, self.latent.width)
        return (z, torch.zeros(1, dtype=torch.int64)) if self.needs == "labelled" else (z,)


def sample_ids(batch: Batch, now: Now | None = None) -> Tensor:
    """The ids of a batch, int64 [B]; where it has none, counted on from the images seen."""
    if batch.ids is not None:
        return batch.ids
    return torch.arange(len(batch), device=batch.x.device) + (now.images if now else 0)


# ---- networks by name ----------------------------------------------------------------------------------------------


# ---- learning rate as a pure function of time ----------------------------------------------------------------------


def eval_forward(net: nn.Module, x: Tensor, own: bool, dropout: bool) -> Tensor:
    """`net(x)` in the way a model is tested: in eval mode, or as `eval_mode` changes it."""
    training = net.training
    try:
        y: Tensor = eval_mode(net, own, dropout)(x)
        return y
    finally:
        eval_mode(net, False, False).train(training)
