"""GAN tricks that any GAN can take, off unless a recipe asks for it; no method knows of it.

A method names the networks that see images (`discriminators`) and how they score them (`score`). Everything here is
added from outside: hooks vary what the discriminators see, the penalty joins the terms that the discriminator's turn
yields, and softer labels change the method's loss. All draws are pure functions of (seed, number of the image).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from i2i.core.config import Count, NonNegative, Range, Share
from i2i.core.distributed import gather_rows
from i2i.core.errors import I2IError
from i2i.core.random import counter_uniform, hashed_normal
from i2i.data.batch import Batch
from i2i.losses import Adversarial, r1
from i2i.methods._method import Method, Now, Terms
from i2i.training.discriminator_augment import ADAPTIVE, DRAWS, adaptive, diffaugment, policy

STEER = 4  # steps from one look at D's scores to the next, for adaptive augmentation
UnderHalf = Annotated[float, Range(0, 0.5, under=True)]
Vary = Callable[[Tensor, Tensor, Now, str], Tensor]  # images [B, ...], their ids [B], now, salt -> images


@dataclass(frozen=True)
class TrickSettings:
    """Settings of the craft."""

    instance_noise: NonNegative = 0.0  # standard deviation of noise on all that discriminators see, at the start
    noise_until: Share = 0.33  # part of the run after which that noise has fallen to 0, in a straight line
    smooth_labels: UnderHalf = 0.0  # part of the real target that is taken away; 0.1: 0.9 instead of 1
    flip_labels: UnderHalf = 0.0  # probability that a discriminator is told the opposite of an image
    r1: NonNegative = 0.0  # weight gamma of the penalty gamma/2 |grad D|^2 at real images
    r1_every: Count = 16  # steps of D from one penalty, so many times heavier, to the next
    diffaugment: str = ""  # how all that discriminators see is varied: "color,translation,cutout", or some of the three
    ada: Share = 0.0  # mean sign of D on real images that adaptive augmentation keeps to (paper: 0.6); 0: off
    ada_length: Count = 500_000  # images in which the probability of that augmentation could rise from 0 to 1


def apply(method: Method, craft: TrickSettings) -> None:
    """Lays the craft around a method, once, before training. Raises I2IError for what the method cannot take."""
    names = ("instance_noise", "smooth_labels", "flip_labels", "r1", "diffaugment", "ada")
    asked = [name for name in names if getattr(craft, name)]
    if not asked:
        return
    discriminators = [method.networks()[name] for name in method.discriminators]
    if not discriminators:
        raise I2IError(f"{type(method).__name__} cannot take {asked[0]}: it names no discriminators.", "Leave it out.")
    moment = _Moment()
    _follow(method, moment, craft)
    ways = [differentiably(craft.diffaugment)] if craft.diffaugment else []
    ways += [adaptively(method)] if craft.ada else []
    for way in ways:
        for net in discriminators:
            net.register_forward_pre_hook(lambda _, inputs, way=way: (moment.varied(inputs[0], way), *inputs[1:]))
    if craft.instance_noise:

        def vary(x: Tensor, ids: Tensor, now: Now, salt: str) -> Tensor:
            return noisy(x, ids, now, salt, craft.instance_noise, craft.noise_until)

        for net in discriminators:
            net.register_forward_pre_hook(lambda _, inputs: (moment.varied(inputs[0], vary), *inputs[1:]))
    if craft.smooth_labels or craft.flip_labels:
        loss = method.loss
        if not isinstance(loss, Adversarial):
            raise I2IError(f"{type(method).__name__} has no labels to smooth or flip.", "Leave them out.")
        method.loss = with_flipped_labels(with_smooth_targets(loss, craft.smooth_labels), craft.flip_labels, moment)


class _Moment:
    """Where training is: the batch and time of the step that runs, and how often something was drawn in it."""

    def __init__(self) -> None:
        self.batch: Batch | None = None
        self.now = Now()
        self.drawn = 0

    def ids(self, n: int, device: torch.device) -> Tensor:
        """The numbers of the step's images, int64 [n]; repeated where more fakes than images are shown."""
        if self.batch is None or self.batch.ids is None:
            return torch.arange(n, device=device) + self.now.images
        ids = self.batch.ids.to(device)
        return ids.repeat(-(-n // len(ids)))[:n]

    def salt(self) -> str:
        """Another for each draw within a step."""
        self.drawn += 1
        return f"craft/{self.drawn}"

    def varied(self, x: Tensor, vary: Vary) -> Tensor:
        """`x` as a discriminator is to see it; outside of a step it stays as it is."""
        if self.batch is None:
            return x
        return vary(x, self.ids(len(x), x.device), self.now, self.salt())


def _follow(method: Method, moment: _Moment, craft: TrickSettings) -> None:
    """Makes the method's steps tell `moment` where they are, adds R1 to each `r1_every`-th turn of D, and steers the
    adaptive augmentation."""
    plain, gamma, every = method.step, craft.r1, craft.r1_every
    if gamma:
        method.double_backward = True

    def step(batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        inner = plain(batch, now)
        drawn = 0

        def score(x: Tensor) -> Tensor:
            return method.score(x, batch.c)

        while True:
            # micro-batches take turns, so each names itself whenever it goes on
            moment.batch, moment.now, moment.drawn = batch, now, drawn
            try:
                name, terms = next(inner)
                if gamma and name == "D" and now.every(every):
                    terms = {**terms, "r1": gamma * every * r1(score, batch.x)}
                if craft.ada and name == "D" and now.every(STEER):
                    with torch.no_grad():
                        steer(method, score(batch.x), now.batch, craft)
            except StopIteration:
                return
            finally:
                drawn, moment.batch = moment.drawn, None
            yield name, terms

    method.step = step  # type: ignore[method-assign]


def differentiably(text: str) -> Vary:
    """What discriminators see under DiffAugment's policy `text`. Raises I2IError for a policy that is none."""
    parts = policy(text)
    return lambda x, ids, now, salt: diffaugment(x, counter_uniform(ids, DRAWS, now.seed, salt), parts)


def adaptively(method: Method) -> Vary:
    """What discriminators see under ADA, with the probability that the method then keeps in its buffer `ada_p`."""
    method.register_buffer("ada_p", torch.zeros(()))
    return lambda x, ids, now, salt: adaptive(x, counter_uniform(ids, ADAPTIVE, now.seed, salt), method.ada_p)  # type: ignore[arg-type]


def steer(method: Method, scores: Tensor, images: int, craft: TrickSettings) -> None:
    """Moves `ada_p` up where D is too sure of real images, scores [B], and down where it is not (Karras et al.
    2020, arXiv 2006.06676, section 3.1), by as much as `images` a step are of `ada_length`."""
    sure = gather_rows(scores.float().sign()).mean() - craft.ada
    p = method.ada_p
    assert isinstance(p, Tensor)
    p.add_(sure.sign() * (STEER * images / max(1, craft.ada_length))).clamp_(0, 1)


def noisy(x: Tensor, ids: Tensor, now: Now, salt: str, std: float, until: float) -> Tensor:
    """Instance noise (Sonderby et al. 2016, arXiv 1610.04490): both sides of D blurred, so that their supports meet."""
    left = std * max(0.0, 1.0 - now.fraction / until) if until > 0 else 0.0
    if not left:
        return x
    return x + left * hashed_normal(ids.cpu(), x.shape[1:], now.seed, salt).to(x)


def with_smooth_targets(loss: Adversarial, share: float) -> Adversarial:
    """One-sided label smoothing of any loss: (1 - share) of the real term and `share` of the fake one on real images,
    which for cross-entropy is the target 1 - share."""
    if not share:
        return loss
    return loss._replace(real=lambda s: (1 - share) * loss.real(s) + share * loss.fake(s))


def with_flipped_labels(loss: Adversarial, probability: float, moment: Any) -> Adversarial:
    """Labels that are wrong with `probability`, for each image and turn of D anew; G's loss stays."""
    if not probability:
        return loss

    def side(right: Callable[[Tensor], Tensor], wrong: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def value(s: Tensor) -> Tensor:
            ids = moment.ids(len(s), s.device)
            swap = counter_uniform(ids, 1, moment.now.seed, moment.salt()).flatten() < probability
            share = float(swap.double().mean())
            if share in (0.0, 1.0):
                return wrong(s) if share else right(s)
            return share * wrong(s[swap]) + (1 - share) * right(s[~swap])

        return value

    return Adversarial(side(loss.real, loss.fake), side(loss.fake, loss.real), loss.adv)
