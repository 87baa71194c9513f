"""Thin base classes of methods: translate one way, translate both ways, generate from noise."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.errors import I2IError
from i2i.data.batch import Batch, Shape
from i2i.methods._method import Method, Now
from i2i.nets.blocks import eval_mode
from i2i.nets.labels import LabelInput, with_labels
from i2i.nets.latent import Latent


class Translate(Method):
    """x -> y by one generator, G unless `averaged` has another name first."""

    G: nn.Module

    def infer(self, batch: Batch) -> Tensor:
        """G(x) [B, C, H, W] in [-1, 1]."""
        return self.generator(batch.x)

    def labelled(self, net: nn.Module) -> nn.Module:
        """A generator of `shape.channels_seen` channels as one that takes x: behind the encoder of label maps, if x is
        one, and otherwise itself."""
        s = self.shape
        return with_labels(net, s.palette, s.label_edges, s.channels_in, s.channels_out)

    def seen(self, x: Tensor) -> Tensor:
        """x as networks see it, [B, `shape.channels_seen`, H, W]: a label map has one channel for each class."""
        return self.generator.encode(x) if isinstance(self.generator, LabelInput) else x


class Enlarge(Translate):
    """x -> y by one generator, where y is `shape.scale` times as large as x (one of `scales`)."""

    scales: ClassVar[tuple[int, ...]] = (4, 2, 3, 8)

    def infer(self, batch: Batch) -> Tensor:
        """G(x) [B, C, scale H, scale W] in [-1, 1]."""
        return self.generator(batch.x).clamp(-1, 1)

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """The small image, its bicubic enlargement, G's, and the real image."""
        columns = {"input": batch.x, "translated": self.infer(batch)}
        size = columns["translated"].shape[-2:]
        if size != batch.x.shape[-2:]:
            bicubic = fn.interpolate(batch.x, size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
            columns = {"input": batch.x, "bicubic": bicubic, "translated": columns["translated"]}
        return columns if batch.y is None else {**columns, "real": batch.y}


class TwoWay(Method):
    """x <-> y by two generators, G: x -> y and F: y -> x."""

    needs = "unpaired"
    averaged = ("G", "F")
    G: nn.Module
    F: nn.Module

    def infer(self, batch: Batch) -> Tensor:
        """G(x) [B, C, H, W] in [-1, 1]."""
        return self.G(batch.x)

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

    Config has `z` (numbers in the noise) and `noise` (a kind of `Latent`, such as "normal"), unless a sub-class
    overrides `latent_of`. A sub-class may add to `facts`: "sizes", the sides of images that G(z, size=N) can make, of
    which all but the last are earlier stages of a growing generator; and "standing", the number of noise batches from
    which batch-norm statistics are computed again when z is truncated. Raises I2IError without the classes it needs."""

    needs = "images"
    discriminators = ("D",)
    G: nn.Module
    D: nn.Module

    def __init__(self, config: Any, shape: Shape) -> None:
        super().__init__(config, shape)
        self.latent = self.latent_of(config)
        self.classes = shape.classes
        if self.needs == "labelled" and shape.classes < 2:
            raise I2IError(
                f"{type(self).__name__} needs images of two classes or more; the data has {shape.classes}.",
                "Give a folder that holds one folder for each class.",
            )

    @classmethod
    def latent_of(cls, config: Any) -> Latent:
        """The noise that a Config asks for."""
        return Latent(((config.noise, config.z),))

    @classmethod
    def facts(cls, config: Any) -> dict[str, Any]:
        """What `i2i generate` must know of a saved model beside its networks."""
        return {"kind": "generate", "latent": [list(part) for part in cls.latent_of(config).parts]}

    def draw(self, batch: Batch, now: Now, salt: str) -> Tensor:
        """Noise z [B, width] on the batch's device: a function of the images' numbers, the seed and `salt`."""
        return self.latent.draw(sample_ids(batch, now), now.seed, salt).to(batch.x)

    def infer(self, batch: Batch) -> Tensor:
        """Images [B, C, H, W] in [-1, 1], one for each id: those that `i2i generate --seed ID` makes.

        The classes are the batch's own; without them, class k follows class k - 1."""
        ids = sample_ids(batch)
        z = self.latent.draw(ids).to(batch.x)
        if self.needs != "labelled":
            return self.generator(z)
        return self.generator(z, ids % self.classes if batch.c is None else batch.c)

    def score(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The discriminator's raw scores [B] of images x [B, C, H, W], with their classes c [B] where there are any."""
        return self.D(x) if self.needs != "labelled" else self.D(x, c)

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """64 images, always from the same noise; with classes, eight of each in a column, of ten classes at most."""
        ids = torch.arange(64, device=batch.x.device)
        if self.needs != "labelled":
            return {"samples": self.infer(Batch(batch.x, ids=ids))}
        rows, titles = ids[:8], self.class_titles or [f"class {k}" for k in range(self.classes)]
        return {
            title: self.infer(Batch(batch.x, c=torch.full_like(rows, k), ids=rows))
            for k, title in enumerate(titles[:10])
        }

    def example(self, shape: Shape) -> tuple[Tensor, ...]:
        """Inputs of G for one image; the memory of a run is estimated with them."""
        z = torch.zeros(1, self.latent.width)
        return (z, torch.zeros(1, dtype=torch.int64)) if self.needs == "labelled" else (z,)


def sample_ids(batch: Batch, now: Now | None = None) -> Tensor:
    """The ids of a batch, int64 [B]. A batch without ids is numbered from the images seen so far, or from 0."""
    if batch.ids is not None:
        return batch.ids
    return torch.arange(len(batch), device=batch.x.device) + (now.images if now else 0)


def eval_forward(net: nn.Module, x: Tensor, own: bool, dropout: bool) -> Tensor:
    """`net(x)` in eval mode, as pix2pix is tested: own: batch norm uses each image's own statistics; dropout: stays on.

    The training mode is put back afterwards."""
    training = net.training
    try:
        return eval_mode(net, own, dropout)(x)
    finally:
        eval_mode(net, False, False).train(training)
