"""GAN tricks for any method with discriminators: instance noise, soft and flipped labels, R1, DiffAugment, ADA.

All are off by default, and no method knows of them. `apply` adds them to a method from outside: forward pre-hooks
change the images that the discriminators see, the step adds the R1 penalty to the terms of D, and the method's loss is
replaced by one with other labels. All draws are pure functions of (seed, number of the image).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from i2i.core.config import Count, NonNegative, Range, Share
from i2i.core.distributed import gather_rows, processes
from i2i.core.errors import I2IError
from i2i.core.random import counter_uniform, hashed_normal
from i2i.data.batch import Batch
from i2i.losses import Adversarial, r1
from i2i.methods._method import Method, Now, Terms
from i2i.training.discriminator_augment import ADAPTIVE, DRAWS, adaptive, diffaugment, policy

ADA_EVERY = 4  # steps between two updates of ADA's probability
UnderHalf = Annotated[float, Range(0, 0.5, under=True)]
ChangeImages = Callable[[Tensor, Tensor, Now, str], Tensor]  # (images [B, C, H, W], ids [B], now, salt) -> images


@dataclass(frozen=True)
class TrickSettings:
    """Settings of the GAN tricks; the defaults turn them off."""

    instance_noise: NonNegative = 0.0  # standard deviation of the noise on all images that D sees, at the start; 0: off
    noise_until: Share = 0.33  # part of the run after which the instance noise has fallen to 0, in a straight line
    smooth_labels: UnderHalf = 0.0  # one-sided label smoothing: 0.1 trains D to the target 0.9 on real images; 0: off
    flip_labels: UnderHalf = 0.0  # probability of swapping a real/fake label that D is trained with; 0: off
    r1: NonNegative = 0.0  # weight gamma of the R1 penalty gamma/2 |grad D|^2 at real images; 0: off
    r1_every: Count = 16  # lazy R1: apply it every N-th step of D, multiplied by N
    diffaugment: str = ""  # DiffAugment on all images that D sees: "color,translation,cutout" or some of the three
    ada: Share = 0.0  # ADA target for the mean sign of D on real images, 0.6 in the paper; 0: off
    ada_length: Count = 500_000  # ADA speed: images in which the probability can rise from 0 to 1


def apply(method: Method, settings: TrickSettings) -> None:
    """Adds the tricks that are on to a method, once, before training.

    Raises I2IError if the method has no discriminators, or no loss with labels."""
    names = ("instance_noise", "smooth_labels", "flip_labels", "r1", "diffaugment", "ada")
    used = [name for name in names if getattr(settings, name)]
    if not used:
        return
    if not method.discriminators:
        raise I2IError(
            f"{type(method).__name__} cannot use {used[0]}: it names no discriminators.", f"Leave out {used[0]}."
        )
    looked_at = [name for name in ("r1", "ada") if getattr(settings, name)]
    kind = type(method)
    if looked_at and kind.score is Method.score and kind.judging is Method.judging:
        raise I2IError(
            f"{kind.__name__} cannot use {looked_at[0]}: it does not say what its discriminator sees.",
            f"Leave out {looked_at[0]}.",
        )
    if settings.ada and method.middle is None:
        raise I2IError(
            f"{kind.__name__} cannot use ada: its loss compares scores, and no score says real or fake by itself.",
            "Leave out ada; diffaugment=color,translation,cutout varies all that D sees.",
        )
    steps = TrickedSteps(method, settings)
    method.step = steps.step  # type: ignore[method-assign]
    if settings.r1:
        method.double_backward = True

    # What the discriminators see. Augmentations come before the noise.
    changes: list[ChangeImages] = []
    if settings.diffaugment:
        changes.append(differentiable_augmentation(settings.diffaugment))
    if settings.ada:
        changes.append(adaptive_augmentation(method))
    if settings.instance_noise:
        changes.append(instance_noise(settings.instance_noise, settings.noise_until))
    for change in changes:
        for name in method.discriminators:
            _change_inputs(method.networks()[name], steps, change)

    # What the discriminators are trained to say.
    if settings.smooth_labels or settings.flip_labels:
        if not isinstance(method.loss, Adversarial):
            raise I2IError(
                f"{type(method).__name__} has no labels that smooth_labels and flip_labels reach.", "Leave them out."
            )
        smooth = with_smooth_targets(method.loss, settings.smooth_labels)
        method.loss = with_flipped_labels(smooth, settings.flip_labels, steps)


class TrickedSteps:
    """The steps of a method with tricks. Knows which step runs now, so that hooks can draw from its images' ids."""

    def __init__(self, method: Method, settings: TrickSettings) -> None:
        self.method, self.settings = method, settings
        self.plain_step = method.step
        self.batch: Batch | None = None  # the batch of the step that runs now; None outside of steps
        self.now = Now()
        self.draws = 0  # draws made in this step
        self.scores: list[Tensor] = []  # of real images, from the micro-batches of a turn of D
        self.scored = 0  # samples of the step that they are for

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """Yields what the method's own step yields, with R1 among the terms of D; steers ADA."""
        running = self.plain_step(batch, now)
        draws = 0
        while True:
            # Micro-batches take turns, so each says that it is the current one whenever it goes on.
            self.batch, self.now, self.draws = batch, now, draws
            try:
                name, terms = next(running)
                if name == "D":
                    terms = self._terms_of_d(terms, batch, now)
            except StopIteration:
                return
            finally:
                draws, self.batch = self.draws, None
            yield name, terms

    def _terms_of_d(self, terms: Terms, batch: Batch, now: Now) -> Terms:
        settings = self.settings
        penalizes = bool(settings.r1) and now.every(settings.r1_every)
        steers = bool(settings.ada) and now.every(ADA_EVERY)
        judges = self.method.judging(batch, now) if penalizes or steers else {}
        if penalizes:
            weight = settings.r1 * settings.r1_every
            terms = {**terms, **{f"r1{n}": weight * r1(per_image(score), real) for n, (score, real) in judges.items()}}
        if steers:
            with torch.no_grad():
                middle = self.method.middle or 0.0
                self.scores += [per_image(score)(real) - middle for score, real in judges.values()]
            self.scored += len(batch)
            if self.scored >= now.batch // processes():  # the last micro-batch
                steer_ada(self.method, torch.cat(self.scores), now.batch, settings)
                self.scores, self.scored = [], 0
        return terms

    def ids(self, n: int, device: torch.device) -> Tensor:
        """The ids of the step's images, int64 [n]; repeated if n is larger than the batch."""
        if self.batch is None or self.batch.ids is None:
            return torch.arange(n, device=device) + self.now.images
        ids = self.batch.ids.to(device)
        return ids.repeat(-(-n // len(ids)))[:n]

    def next_salt(self) -> str:
        """A salt for the next draw: another for each draw of a step."""
        self.draws += 1
        return f"craft/{self.draws}"

    def change(self, x: Tensor, change: ChangeImages) -> Tensor:
        """`x` as a discriminator sees it in a step; outside of steps, unchanged."""
        if self.batch is None:
            return x
        return change(x, self.ids(len(x), x.device), self.now, self.next_salt())


def per_image(score: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`score` with one number for each image [B]: the mean of a map of patches."""
    return lambda x: score(x).reshape(len(x), -1).mean(1)


def _change_inputs(discriminator: nn.Module, steps: TrickedSteps, change: ChangeImages) -> None:
    """Makes `discriminator` see its first argument, images, changed."""
    discriminator.register_forward_pre_hook(lambda _, inputs: (steps.change(inputs[0], change), *inputs[1:]))


# ---- images that D sees --------------------------------------------------------------------------------------------


def differentiable_augmentation(text: str) -> ChangeImages:
    """DiffAugment with the policy `text`, such as "color,cutout". Raises I2IError for an unknown part of a policy."""
    parts = policy(text)
    return lambda x, ids, now, salt: diffaugment(x, counter_uniform(ids, DRAWS, now.seed, salt), parts)


def adaptive_augmentation(method: Method) -> ChangeImages:
    """ADA. Its probability becomes the buffer `ada_p` of the method, so that checkpoints hold it."""
    method.register_buffer("ada_p", torch.zeros(()))
    return lambda x, ids, now, salt: adaptive(
        x, counter_uniform(ids, ADAPTIVE, now.seed, salt), method.get_buffer("ada_p")
    )


def steer_ada(method: Method, scores: Tensor, images: int, settings: TrickSettings) -> None:
    """Updates ADA's probability (Karras et al. 2020, arXiv 2006.06676, section 3.1).

    It rises where D's scores of real images, above 0 for "real", have a mean sign above the target, and falls
    elsewhere. images: in a step, by all processes together."""
    overfit = gather_rows(scores.float().sign()).mean() - settings.ada
    change = ADA_EVERY * images / max(1, settings.ada_length)
    method.get_buffer("ada_p").add_(overfit.sign() * change).clamp_(0, 1)


def instance_noise(std: float, until: float) -> ChangeImages:
    """Instance noise (Sonderby et al. 2016, arXiv 1610.04490): normal noise on real images and fakes, which makes their
    distributions overlap. Its standard deviation falls from `std` in a straight line to 0 at `until` of the run."""

    def add_noise(x: Tensor, ids: Tensor, now: Now, salt: str) -> Tensor:
        strength = std * max(0.0, 1.0 - now.fraction / until) if until > 0 else 0.0
        if not strength:
            return x
        return x + strength * hashed_normal(ids.cpu(), x.shape[1:], now.seed, salt).to(x)

    return add_noise


# ---- labels --------------------------------------------------------------------------------------------------------


def with_smooth_targets(loss: Adversarial, share: float) -> Adversarial:
    """One-sided label smoothing of any loss (Salimans et al. 2016, arXiv 1606.03498, section 3.4): on real images D
    minimises (1 - share) of the real term and `share` of the fake one. For cross-entropy this is the target 1 - share.
    """
    if not share:
        return loss
    return loss._replace(real=lambda s: (1 - share) * loss.real(s) + share * loss.fake(s))


def with_flipped_labels(loss: Adversarial, probability: float, steps: TrickedSteps) -> Adversarial:
    """The loss with labels that are wrong with `probability`, drawn for each image and step of D; G's loss stays."""
    if not probability:
        return loss

    def flipped(right: Callable[[Tensor], Tensor], wrong: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def mixed(scores: Tensor) -> Tensor:
            ids = steps.ids(len(scores), scores.device)
            swap = counter_uniform(ids, 1, steps.now.seed, steps.next_salt()).flatten() < probability
            share = int(swap.sum()) / swap.numel()
            if share in (0.0, 1.0):
                return wrong(scores) if share else right(scores)
            return share * wrong(scores[swap]) + (1 - share) * right(scores[~swap])

        return mixed

    return loss._replace(real=flipped(loss.real, loss.fake), fake=flipped(loss.fake, loss.real))
