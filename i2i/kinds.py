"""Thin bases of the methods and the parts they are put together from: networks by name, Adam, learning-rate curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from i2i.errors import I2IError, among
from i2i.method import Batch, Method, Now, Shape
from i2i.nets import PatchGAN, PixelGAN, ResNet, UNet, init_weights
from i2i.nets.blocks import as_tested
from i2i.ops import draws


class Translate(Method):
    """x -> y by one generator G."""

    G: nn.Module

    def infer(self, batch: Batch) -> Tensor:
        """G(x) [B, C, H, W] in [-1, 1]."""
        y: Tensor = self.G(batch.x)
        return y


class Swap(Method):
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
        """Both directions: the picture, its translation, and the way back."""
        fake_y = self.G(batch.x)
        columns = {"A": batch.x, "A to B": fake_y, "and back": self.F(fake_y)}
        if batch.y is not None:
            fake_x = self.F(batch.y)
            columns |= {"B": batch.y, "B to A": fake_x, "and back ": self.G(fake_x)}
        return columns


@dataclass(frozen=True)
class Latent:
    """The noise z that a generator starts from: parts side by side, each (kind, width).

    normal: N(0, 1); uniform: on [-1, 1]; cube: uniform of variance 1, on [-sqrt 3, sqrt 3]; code: one category as a
    one-hot row. Every number is a pure function of (seed, salt, id, place), whatever the batch or process."""

    parts: tuple[tuple[str, int], ...]

    KINDS: ClassVar[tuple[str, ...]] = ("normal", "uniform", "cube", "code")

    def __post_init__(self) -> None:
        for kind, width in self.parts:
            if kind not in self.KINDS:
                raise I2IError(f"noise is {kind!r}.", among(kind, self.KINDS))
            if width < 1:
                raise I2IError(f"The width of the noise is {width}.", "It must be at least 1.")

    @property
    def width(self) -> int:
        """Numbers in a z."""
        return sum(width for _, width in self.parts)

    @property
    def codes(self) -> int:
        """Categories of the first code; 0 without."""
        return next((width for kind, width in self.parts if kind == "code"), 0)

    def draw(
        self, ids: Tensor, seed: int = 0, salt: str = "z", truncation: float = 0.0, code: Tensor | None = None
    ) -> Tensor:
        """z float32 [len(ids), width]. truncation t > 0: normal numbers given that |z| <= t (the truncated normal, not
        clipped ones). code: int64 [len(ids)] is asked of the first code instead of drawn."""
        u = draws(ids, self.width, seed, salt)
        made = []
        for (kind, width), part in zip(self.parts, u.split([w for _, w in self.parts], 1), strict=True):
            if kind == "normal":
                if truncation > 0:
                    tail = 0.5 * math.erfc(truncation / math.sqrt(2))
                    part = tail + (1 - 2 * tail) * part
                made.append(torch.special.ndtri(part))
            elif kind == "code":
                chosen, code = (part[:, 0] * width).long() if code is None else code.to(part.device), None
                made.append(torch.nn.functional.one_hot(chosen, width).double())
            else:
                made.append((2 * part - 1) * (math.sqrt(3) if kind == "cube" else 1))
        return torch.cat(made, 1).float().to(ids.device)

    def between(self, a: Tensor, b: Tensor, t: float) -> Tensor:
        """The z at `t` in [0, 1] from a to b [B, width]: on the great circle in normal parts, straight in others."""
        widths = [w for _, w in self.parts]
        ends = zip(self.parts, a.split(widths, 1), b.split(widths, 1), strict=True)
        return torch.cat([slerp(p, q, t) if kind == "normal" else p.lerp(q, t) for (kind, _), p, q in ends], 1)


def slerp(p: Tensor, q: Tensor, t: float) -> Tensor:
    """Spherical interpolation of rows [B, n]: (sin((1 - t) w) p + sin(t w) q) / sin w, w the angle between them
    (White 2016, arXiv 1609.04468). Straight where they are (anti)parallel."""
    cosine = torch.nn.functional.cosine_similarity(p.double(), q.double(), dim=1).clamp(-1, 1)
    w = cosine.acos()[:, None]
    sine = w.sin()
    around = (((1 - t) * w).sin() * p + (t * w).sin() * q) / sine.clamp_min(1e-12)
    return torch.where(sine < 1e-4, p.lerp(q, t).double(), around).to(p.dtype)


class Generate(Method):
    """z -> a picture by one generator G(z), or G(z, c) with a class c [B] where `needs` is "labelled".

    Sub-classes call `super().__init__(config, shape)`, which sets `latent`; their Config has `z` (width) and `noise`
    (a kind of `Latent`), or they override `latent_of`. `facts` goes into the saved model's header: kind, latent, and
    what else a sub-class adds: "sizes" (pictures G(z, size=N) can make, all but the last being earlier stages of a
    growing generator), "standing" (batches of noise to recompute batch-norm statistics from when z is truncated)."""

    needs: ClassVar[str] = "images"
    averaged: ClassVar[tuple[str, ...]] = ("G",)
    critics: ClassVar[tuple[str, ...]] = ("D",)  # networks that see pictures, first argument, which i2i.craft may vary
    titles: Sequence[str] = ()  # names of the classes in previews; whoever knows them sets them, else they are numbers
    G: nn.Module
    D: nn.Module

    def __init__(self, config: Any, shape: Shape) -> None:
        super().__init__(config, shape)
        self.latent = self.latent_of(config)
        self.classes = shape.classes
        if self.needs == "labelled" and shape.classes < 2:
            raise I2IError("This method needs labelled pictures.", "Give a folder with one folder a class.")

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
        return self.latent.draw(numbers(batch, now), now.seed, salt).to(batch.x)

    def infer(self, batch: Batch) -> Tensor:
        """Pictures [B, C, H, W] in [-1, 1], one for each id: those that `i2i generate --seed ID` makes. Classes are the
        batch's own, or go round."""
        ids = numbers(batch)
        z = self.latent.draw(ids).to(batch.x)
        if self.needs != "labelled":
            return self._picture(z)
        return self._picture(z, ids % self.classes if batch.c is None else batch.c)

    def _picture(self, *inputs: Tensor) -> Tensor:
        made: Tensor = self.G(*inputs)
        return made

    def score(self, x: Tensor, c: Tensor | None) -> Tensor:
        """The critic's raw scores [B] of pictures, for their classes where there are any."""
        found: Tensor = self.D(x) if self.needs != "labelled" else self.D(x, c)
        return found

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """64 pictures from noise that stays the same; with classes a column of eight each, for ten at most."""
        ids = torch.arange(64, device=batch.x.device)
        if self.needs != "labelled":
            return {"samples": self.infer(Batch(batch.x, ids=ids))}
        rows, titles = ids[:8], self.titles or [f"class {k}" for k in range(self.classes)]
        return {
            title: self.infer(Batch(batch.x, c=torch.full_like(rows, k), ids=rows))
            for k, title in enumerate(titles[:10])
        }

    def example(self, shape: Shape) -> tuple[Tensor, ...]:
        """Inputs of G for one picture, to measure its memory by."""
        z = torch.zeros(1, self.latent.width)
        return (z, torch.zeros(1, dtype=torch.int64)) if self.needs == "labelled" else (z,)


def numbers(batch: Batch, now: Now | None = None) -> Tensor:
    """The ids of a batch, int64 [B]; where it has none, counted on from the images seen."""
    if batch.ids is not None:
        return batch.ids
    return torch.arange(len(batch), device=batch.x.device) + (now.images if now else 0)


# ---- networks by name ----------------------------------------------------------------------------------------------


def unet_depth(depth: int, size: int) -> int:
    """Levels of a U-Net for pictures of side `size`; depth 0 means fitted to it: the most that divide it, at most 8.

    Raises I2IError if `size` is no multiple of 2**depth."""
    fitted = 0
    while fitted < 8 and size % 2 ** (fitted + 1) == 0:
        fitted += 1
    chosen = depth or fitted
    if chosen < 2:
        raise I2IError(f"A U-Net cannot be fitted to pictures of {size} pixels.", "Choose a size such as 128 or 256.")
    if size % 2**chosen:
        raise I2IError(
            f"A U-Net of depth {chosen} needs pictures with sides that are multiples of {2**chosen}; size is {size}.",
            f"Choose depth {fitted} or less (0 fits it), or another size.",
        )
    return chosen


def generator(
    name: str,
    channels_in: int,
    channels_out: int,
    size: int,
    *,
    width: int,
    blocks: int,
    depth: int,
    norm: str,
    dropout: bool,
    upsample: str,
    init: str,
    gain: float,
) -> nn.Module:
    """A U-Net or ResNet with initial weights. `blocks` 0: 9 from 256 pixels on, 6 below; `depth` 0: fitted to `size`.

    Raises I2IError if the name is unknown or the sizes do not fit."""
    net: nn.Module
    if name == "unet":
        levels = unet_depth(depth, size)
        net = UNet(channels_in, channels_out, levels, width, norm, dropout, upsample)
    elif name == "resnet":
        if size < 16:
            raise I2IError(f"The ResNet generator needs pictures of at least 16 pixels; size is {size}.")
        blurred = upsample == "blur"
        count = blocks or (9 if size >= 256 else 6)
        net = ResNet(channels_in, channels_out, count, width, norm, dropout, upsample, antialias=blurred)
    else:
        raise I2IError(f"generator is {name!r}.", among(name, ("unet", "resnet")))
    return init_weights(net, init, gain)


def critic(
    name: str, channels: int, size: int, *, width: int, layers: int, norm: str, init: str, gain: float
) -> nn.Module:
    """A PatchGAN or pixel critic with initial weights. Raises I2IError if `size` is too small for its layers."""
    net: nn.Module
    if name == "patchgan":
        if layers < 1 or size // 2**layers < 3:
            raise I2IError(
                f"A PatchGAN of {layers} layers does not fit pictures of {size} pixels.",
                f"It needs at least 1 layer and {3 * 2 ** max(1, layers)} pixels.",
            )
        net = PatchGAN(channels, layers, width, norm)
    elif name == "pixel":
        net = PixelGAN(channels, width, norm)
    else:
        raise I2IError(f"discriminator is {name!r}.", among(name, ("patchgan", "pixel")))
    return init_weights(net, init, gain)


def adam(
    nets: list[nn.Module], lr: float, beta1: float, beta2: float = 0.999, eps: float = 1e-8
) -> torch.optim.Adam:
    """Adam over whole networks, all updates in one fused kernel."""
    parameters = [p for net in nets for p in net.parameters()]
    return torch.optim.Adam(parameters, lr=lr, betas=(beta1, beta2), eps=eps, fused=True)


# ---- learning rate as a pure function of time ----------------------------------------------------------------------


def linear(at: float, hold: float = 0.5, end: float = 1.0) -> float:
    """1 until `hold`, then straight down to 0 at `end`."""
    return 1.0 if at <= hold else max(0.0, 1.0 - (at - hold) / (end - hold))


def cosine(at: float, end: float = 1.0) -> float:
    """Half a cosine from 1 down to 0 at `end`."""
    return 0.5 * (1.0 + math.cos(math.pi * at / end))


def steps(at: float, every: float = 0.25, factor: float = 0.1, hold: float = 0.0) -> float:
    """Times `factor` after each `every`, counted from `hold`."""
    return float(factor ** math.floor(max(0.0, at - hold) / every))


def constant(at: float) -> float:
    """Always 1."""
    return 1.0


RATES: dict[str, Callable[[float], float]] = {
    "linear": linear,
    "cosine": cosine,
    "step": steps,
    "constant": constant,
}


def curve(name: str) -> Callable[[float], float]:
    """The learning-rate curve `name` of RATES over progress in [0, 1]. Raises I2IError if there is none."""
    if name not in RATES:
        raise I2IError(f"decay is {name!r}.", among(name, RATES))
    return RATES[name]


def tested(net: nn.Module, x: Tensor, own: bool, dropout: bool) -> Tensor:
    """`net(x)` in the way a model is tested: in eval mode, or as `as_tested` changes it."""
    training = net.training
    try:
        y: Tensor = as_tested(net, own, dropout)(x)
        return y
    finally:
        as_tested(net, False, False).train(training)
