"""Training of a small student beside a trained generator, its teacher (GAN Compression, Li et al. 2020, arXiv
2003.08936):

    L_G = lambda_gan * adversarial + lambda_recon * |student - target| + lambda_distill * sum of feature distances

The target is the truth for pairs, and what the teacher makes otherwise. Features are compared through learned 1x1
convolutions. The adversarial terms are those that the method says itself. The student is judged by the discriminator
from before its update.

For pairs there is more: a method that has trained the teacher with other terms besides the adversarial ones and L1,
such as feature matching and a perceptual loss, says all of them with its own weights, and they take the place of the
reconstruction. What the teacher makes may be the truth, too (`real`): unlike the real images it is a function of the
input, so the student learns less by heart.

Without pairs, a distance in the maps of a trained network between both images, the student's and the teacher's, may be
added, as in Online Multi-Granularity Distillation (Ren et al. 2021, arXiv 2108.06908): pixels alone leave texture out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as fn
from torch.optim import Optimizer

from i2i.data.batch import Batch
from i2i.methods._bases import eval_forward
from i2i.methods._content import Content
from i2i.methods._method import Method, Now, Terms
from i2i.training.compress import features
from i2i.training.compress.pruned import is_generators, is_judges, judging_networks
from i2i.training.compress.terms import Changes, at_end, make_changes, own_terms, sum_of, with_generator

RECONSTRUCTION: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": fn.l1_loss,
    "l2": fn.mse_loss,
    "smooth_l1": fn.smooth_l1_loss,
}


@dataclass(frozen=True)
class Weights:
    """The weights of the three parts of the student's loss."""

    gan: float = 1.0
    recon: float = 10.0
    distill: float = 0.01
    perceptual: float = 0.0  # without pairs: of the distance to the teacher's image in AlexNet

    @classmethod
    def of(cls, needs: str) -> Weights:
        """The published ones for a layout of the data: paired, or any other."""
        return cls(1.0, 100.0, 1.0) if needs == "paired" else cls()


class Blank(nn.Module):
    """Stands for a network whose images do not matter here: what it gives is all 0 and costs nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> zeros [B, channels, H, W]."""
        return x.new_zeros(len(x), self.channels, *x.shape[2:])


class OneSource(nn.Module):
    """A generator of a pair, which translates the images of one batch; of other images, which only the other losses of
    the pair need (the way back, the identity), it makes a blank that costs nothing."""

    def __init__(self, network: nn.Module, source: Tensor, channels: int) -> None:
        super().__init__()
        self.network, self.source, self.blank = network, source, Blank(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, channels, H, W]. x may hold more images behind those of the source."""
        own = torch.equal(x[: len(self.source)], self.source)
        result: Tensor = self.network(x) if own else self.blank(x)
        return result


class Distilled(Method):
    """The student that takes the place of the generator `name` (G, or F for the way back) of `inner`.

    inner: the method with the teacher as its generator, and with discriminators. own: batch norm of the teacher uses
    each image's own statistics. reconstruction: of RECONSTRUCTION. adversarial: False if there is no discriminator.
    real: what the discriminator learns to be real: data, or teacher, the images that the teacher makes. For pairs they
    take the place of the truth in all terms."""

    def __init__(
        self,
        inner: Method,
        name: str,
        student: nn.Module,
        weights: Weights,
        *,
        own: bool = False,
        reconstruction: str = "l1",
        adversarial: bool = True,
        real: str = "data",
    ) -> None:
        super().__init__(inner.config, inner.shape)
        self.needs = inner.needs  # type: ignore[misc]
        self.averaged = (name,)  # type: ignore[misc]
        self.double_backward = inner.double_backward
        self.teacher_name, self.weights, self.own = name, weights, own
        self.distance, self.adversarial = RECONSTRUCTION[reconstruction], adversarial
        self.inner = inner
        self.teacher.requires_grad_(False)
        setattr(self, name, student.requires_grad_(True))
        self.translates = inner.needs in ("paired", "unpaired")
        self.pair, self.real = len(inner.averaged) == 2, real
        self.content = Content("alex" if weights.perceptual else "none", inner.shape.size)
        self.back = self.pair and name == inner.averaged[1]
        both = inner.shape.channels_in, inner.shape.channels_out
        self.channels = both[::-1] if self.back else both  # of what is translated, and of what is made
        self.places = [features.places_of(student), features.places_of(self.teacher)]
        self.maps = nn.ModuleList()
        if len(self.places[0]) == len(self.places[1]) and self.places[0]:
            self.maps = features.maps_between(student, self.teacher, inner.shape.size, self.channels[0])
        if self.pair:
            self._leave_out_other_way(inner, name)

    def _leave_out_other_way(self, inner: Method, name: str) -> None:
        """Puts blanks in the place of the other generator of a pair and its discriminator: neither is needed.

        A discriminator with a gradient penalty stays, as a blank has no gradient."""
        other = next(n for n in inner.averaged if n != name)
        setattr(inner, other, Blank(self.channels[0]))
        if not inner.double_backward:
            for judge in judging_networks(inner, name):
                if not self._concerns(judge):
                    setattr(inner, judge, Blank(1))

    @property
    def student(self) -> nn.Module:
        """The generator that is trained."""
        return self.get_submodule(self.teacher_name)

    @property
    def teacher(self) -> nn.Module:
        """The generator that it learns from."""
        return self.inner.get_submodule(self.teacher_name)

    def optimizers(self) -> dict[str, Optimizer]:
        """The method's own optimizers; that of the generator has the student and the maps."""
        with with_generator(self.inner, self.teacher_name, self.student):
            own = self.inner.optimizers()
        parameters = {id(p) for p in self.student.parameters()}
        for optimizer in own.values():
            group = optimizer.param_groups[0]
            if any(id(p) in parameters for p in group["params"]):
                group["params"] = [*self.student.parameters(), *self.maps.parameters()]
        return own

    def lr_factor(self, fraction: float) -> float:
        """The schedule of the method."""
        return self.inner.lr_factor(fraction)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """The student, then the discriminators; both losses are those of before the student's update."""
        later: Changes = []
        calls: list[tuple[tuple[Tensor, ...], Tensor]] = []

        def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if not calls:
                calls.append((inputs, output))

        source, generator = self._source(batch), self.student
        if self.pair:
            generator = OneSource(generator, source, self.channels[1])
        lesson, judged = None, batch
        if self.real == "teacher":
            lesson = self._teach((source,)) if self.pair else self._infer(batch)
            judged = dataclasses.replace(batch, **{"x" if self.back else "y": lesson[0].to(source.dtype)})
        handle = self.student.register_forward_hook(keep)
        try:
            with features.captured(self.student, self.places[0] if self.maps else []) as own:
                yielded = own_terms(
                    self.inner, self.teacher_name, generator, judged, at_end(now), attached=False, later=later
                )
        finally:
            handle.remove()
        inputs: tuple[Tensor, ...] = (source,)
        images: Tensor | None = None  # stays None for a method that calls a part of its generator: colors in CIE Lab
        if calls:
            inputs, images = calls[0]
        if self.translates:  # a method may translate more images than those of x in one pass
            inputs, own = (source,), [o[: len(source)] for o in own]
            images = None if images is None else images[: len(source)]
        if images is not None and not images.requires_grad:  # D had its turn alone
            with features.captured(self.student, self.places[0] if self.maps else []) as own:
                images = self.student(*inputs)
        taught, others = lesson or self._teach(inputs)
        target = judged.y if self.needs == "paired" and judged.y is not None else taught

        generators = next((o for o, terms in yielded.items() if is_generators(terms)), None)
        said = {k: v for k, v in yielded[generators].items() if self._concerns(k)} if generators else {}
        terms: Terms = {}
        if generators and self.adversarial:
            terms["adv"] = self.weights.gan * sum_of([v for k, v in said.items() if k.startswith("adv")])
        more = {k: v for k, v in said.items() if not self._needs_judge(k)}
        if images is None or (self.needs == "paired" and more.keys() - {"l1"}):
            terms |= more
        else:
            terms["recon"] = self.weights.recon * self.distance(images, target.to(images.dtype))
            if self.content:
                terms["perceptual"] = self.weights.perceptual * self.content(images, target.float())
        if self.maps:
            terms["distill"] = self.weights.distill * sum_of(features.distances(self.maps, own, others))
        yield generators or "G", terms
        for optimizer, judging in yielded.items():
            if is_judges(judging) and self.adversarial:
                yield optimizer, {k: v for k, v in judging.items() if self._concerns(k)}
        make_changes(later)

    def _concerns(self, term: str) -> bool:
        """False for a term of the other way of a pair of generators: G makes y, and F makes x."""
        other = {"G": "_x", "F": "_y"}.get(self.teacher_name)
        return len(self.inner.averaged) == 1 or other is None or not term.endswith(other)

    @torch.no_grad()
    def _teach(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
        """What the teacher makes of the inputs, and its feature maps on the way."""
        with features.captured(self.teacher, self.places[1] if self.maps else []) as maps:
            if len(inputs) == 1:
                return eval_forward(self.teacher, inputs[0], self.own, False), maps
            return self.teacher.eval()(*inputs), maps

    def taught(self, batch: Batch) -> Tensor:
        """What the teacher makes of a batch, [B, C, H, W] in [-1, 1]."""
        return (self._teach((self._source(batch),)) if self.pair else self._infer(batch))[0]

    @torch.no_grad()
    def _infer(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """The teacher's translation of a batch, as the method makes it, and its feature maps on the way."""
        self.teacher.eval()
        with features.captured(self.teacher, self.places[1] if self.maps else []) as maps:
            return self.inner.infer(batch), maps

    def _source(self, batch: Batch) -> Tensor:
        """What is translated: x, and y by the way back."""
        if not self.back:
            return batch.x
        assert batch.y is not None
        return batch.y

    def _needs_judge(self, term: str) -> bool:
        """True for the adversarial terms, and without a discriminator for the distance of its features."""
        return term.startswith("adv") or (term == "features" and not self.adversarial)

    def infer(self, batch: Batch) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] of the student."""
        if self.back:
            images: Tensor = self.student(self._source(batch))
            return images
        with with_generator(self.inner, self.teacher_name, self.student):
            return self.inner.infer(batch)

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """What teacher and student make of the same inputs, beside the input or the truth where there are any."""
        with torch.no_grad():
            taught = self.teacher(self._source(batch)) if self.back else self.inner.infer(batch)
        columns = {"teacher": taught, "student": self.infer(batch)}
        if not self.translates:
            return columns
        return {
            "input": self._source(batch),
            **columns,
            **({"real": batch.y} if self.needs == "paired" and batch.y is not None else {}),
        }
