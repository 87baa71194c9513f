"""Training of a pruned generator: the terms of a method that has trained the original, compared or minimized.

Self-supervised GAN compression (Yu and Pool 2020, arXiv 2007.01491): G starts as the trained generator, its smallest
weights are removed step by step, and the loss is how far every term of the original training moves away from what it
is with the original generator, under the trained discriminator, which goes on training.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as fn
from torch.optim import Optimizer

from i2i.core.eager import Adam
from i2i.data.batch import Batch
from i2i.methods._method import Method, Now, Terms
from i2i.training.compress import features, masks
from i2i.training.compress.plan import Plan
from i2i.training.compress.terms import (
    Changes,
    at_end,
    gaps,
    make_changes,
    own_terms,
    untouched_buffers,
    with_generator,
)

CHANGES = 100  # times that gradual pruning chooses its masks anew
SMALL = 1e-3  # of the gaps in training: a term that crosses 0 must not blow up its gap


class Pruned(Method):
    """The compressed generator `name` (G, or F for the way back) of `inner`, the method with the original's networks.

    network: the compressed generator as it starts. weights: of the gaps, by term; default: `weights_of(inner)`.

    The original generator stays in `inner` and is never trained."""

    def __init__(
        self, inner: Method, name: str, network: nn.Module, plan: Plan, weights: dict[str, float] | None = None
    ) -> None:
        super().__init__(inner.config, inner.shape)
        self.needs = inner.needs  # type: ignore[misc]
        self.averaged = (name,)  # type: ignore[misc]
        self.double_backward = inner.double_backward
        self.term_notes = {"dis": "How far the discriminator's loss is from what it is on the original's images."}  # type: ignore[misc]
        self.original_name, self.plan = name, plan
        self.weights = weights_of(inner) if weights is None else weights
        self.judges = judging_networks(inner, name)
        self.inner = inner
        self._later: Changes = []
        self._original = (inner.get_submodule(name).requires_grad_(False),)  # a tuple: it is inner's, not ours
        setattr(self, name, network.requires_grad_(True))
        kind = plan.granularity
        self.pruning = masks.Pruning(network, kind) if plan.masks != "none" else None
        self.d_pruning = nn.ModuleDict()
        if plan.prune_d:
            for judge in self.judges:
                self.d_pruning[judge] = pruning = masks.Pruning(inner.get_submodule(judge))
                pruning.prune(inner.get_submodule(judge), plan.sparsity)
        self.maps = nn.ModuleList()
        if plan.objective == "features":
            original = inner.get_submodule(name)
            self.maps = features.maps_between(network, original, inner.shape.size, inner.shape.channels_in)
        if plan.masks == "one-shot":
            assert self.pruning is not None
            self.pruning.prune(network, plan.sparsity)

    @property
    def compressed(self) -> nn.Module:
        """The generator that is trained."""
        return self.get_submodule(self.original_name)

    @property
    def original(self) -> nn.Module:
        """The generator that it is compared with."""
        return self._original[0]

    def optimizers(self) -> dict[str, Optimizer]:
        """The method's own optimizers for the compressed generator; with `gaps` one Adam for it and D together, because
        both learn from one loss, at one point."""
        with with_generator(self.inner, self.original_name, self.compressed):
            own = self.inner.optimizers()
        generator = {id(p) for p in self.compressed.parameters()}
        mine = next(o for o in own.values() if any(id(p) in generator for g in o.param_groups for p in g["params"]))
        group = mine.param_groups[0]
        betas = group.get("betas", (0.5, 0.999))
        if self.plan.objective == "features":
            learned = [*self.compressed.parameters(), *self.maps.parameters()]
            return {"G": Adam(learned, group["lr"], betas)}
        if self.plan.objective == "gaps":
            groups = [{"params": list(self.compressed.parameters()), "lr": group["lr"]}]
            judges = [p for name in self.judges for p in self.inner.get_submodule(name).parameters()]
            if judges and not self.plan.freeze_d:
                d_group = next(o.param_groups[0] for o in own.values() if o is not mine)
                groups.append({"params": judges, "lr": d_group["lr"]})
            return {"G": Adam(groups, group["lr"], betas)}
        if self.plan.freeze_d or self.plan.init_d == "none":
            return {name: optimizer for name, optimizer in own.items() if optimizer is mine}
        return own

    def lr_factor(self, fraction: float) -> float:
        """The schedule of the original training."""
        return self.inner.lr_factor(fraction)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """One step of the plan's objective; masks are chosen before it, and applied after every update."""
        self._choose_masks(now)
        if self.plan.init_g != "random":
            now = at_end(now)
        steps = {"gaps": self._gaps, "match": self._match, "features": self._features}
        for name, terms in steps.get(self.plan.objective, self._plain)(batch, now):
            yield name, terms
            # Only what was updated: what was computed with the other network's weights is still needed.
            self._apply_masks(generator=not is_judges(terms), judges=is_judges(terms))
        make_changes(self._later)

    def _gaps(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        yield "G", self.loss_terms(batch, now)

    def loss_terms(self, batch: Batch, now: Now, constant: bool = False, small: float = SMALL) -> Terms:
        """The weighted gaps of all terms, those of the discriminators times lambda_d.

        constant: the original's terms have no gradient."""
        original, compressed = self._both(batch, now, constant)
        found: Terms = {}
        for optimizer, terms in original.items():
            if is_generators(terms):
                found |= gaps(terms, compressed[optimizer], self.weights, small)
            elif is_judges(terms):
                lambdas = gaps(terms, compressed[optimizer], self.weights, small)
                found |= {f"d_{name}": self.plan.lambda_d * value for name, value in lambdas.items()}
        return found

    def _both(self, batch: Batch, now: Now, constant: bool) -> tuple[dict[str, Terms], dict[str, Terms]]:
        with_gradient = torch.is_grad_enabled() and not (constant and not self.inner.double_backward)
        with torch.set_grad_enabled(with_gradient), untouched_buffers(self.inner):
            original = own_terms(self.inner, self.original_name, self.original, batch, now)
        if constant:
            original = {o: {k: v.detach() for k, v in terms.items()} for o, terms in original.items()}
        self._later.clear()
        own = own_terms(self.inner, self.original_name, self.compressed, batch, now, later=self._later)
        return original, own

    def _match(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """The gaps of the generator's terms alone; D, where there is one, goes on training as the method says."""
        original, compressed = self._both(batch, now, constant=True)
        with_d = self.plan.init_d != "none"
        for name, terms in original.items():
            if not is_generators(terms):
                continue
            chosen = {k: v for k, v in terms.items() if with_d or not k.startswith("adv")}
            found = gaps(chosen, compressed[name], self.weights, SMALL)
            if not found:  # without D nothing is left: the images themselves are compared
                found = {"output": fn.l1_loss(self.infer(batch), self._original_images(batch))}
            yield name, found
        if with_d and not self.plan.freeze_d:
            for name, terms in own_terms(
                self.inner, self.original_name, self.compressed, batch, now, attached=False
            ).items():
                if is_judges(terms):
                    yield name, terms

    def _plain(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """The step of the original training with the compressed generator, and what the plan adds to it."""
        objective = self.plan.objective
        with with_generator(self.inner, self.original_name, self.compressed):
            for name, own in self.inner.step(batch, now):
                terms = dict(own)
                if objective != "plain":
                    terms |= self._added(name, own, batch, now)
                if not (is_judges(own) and self.plan.freeze_d):
                    yield name, terms

    def _added(self, name: str, own: Terms, batch: Batch, now: Now) -> Terms:
        """What is added to the terms `own`: their gaps, or the judgement of the original's images as fakes."""
        with untouched_buffers(self.inner):
            terms = own_terms(self.inner, self.original_name, self.original, batch, now, attached=False)
        original = terms.get(name, {})
        if self.plan.objective == "play":
            return {f"{k}_original": v for k, v in original.items() if is_judges(own) and k.startswith("fake")}
        if not is_generators(own) or original.keys() != own.keys():
            return {}
        constant = {k: v.detach() for k, v in original.items()}
        return {f"{k}_gap": v for k, v in gaps(constant, own, self.weights, SMALL).items()}

    def _features(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        outputs = []
        for network in (self.compressed, self.original):
            with features.captured(network, features.places_of(network)) as kept:
                network(batch.x)
            outputs.append(kept)
        parts = features.distances(self.maps, outputs[0], outputs[1])
        yield "G", {f"features_{i}": value for i, value in enumerate(parts)}

    def infer(self, batch: Batch) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] of the compressed generator."""
        with with_generator(self.inner, self.original_name, self.compressed):
            return self.inner.infer(batch)

    def _original_images(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            return self.inner.infer(batch)

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """The columns of the method, and what the original makes."""
        with with_generator(self.inner, self.original_name, self.compressed):
            columns = self.inner.preview(batch)
        return (
            {**columns, "original": self._original_images(batch)} if self.needs in ("paired", "unpaired") else columns
        )

    def _choose_masks(self, now: Now) -> None:
        if self.plan.masks != "gradual":
            return
        assert self.pruning is not None
        p, total = self.plan, max(1, now.total // now.batch)
        every = max(1, total // CHANGES)
        if now.step % every == 0:
            self.pruning.prune(self.compressed, masks.cubic(now.step, total, p.start, p.sparsity, p.end, every))

    def _apply_masks(self, generator: bool, judges: bool) -> None:
        if self.pruning is not None and generator:
            self.pruning.apply_to(self.compressed)
        for name, pruning in self.d_pruning.items() if judges else ():
            pruning.apply_to(self.inner.get_submodule(name))  # type: ignore[operator]


def is_judges(terms: Terms) -> bool:
    """True for the terms of a discriminator: they judge real images and fakes."""
    return any(k.startswith(("real", "fake")) for k in terms)


def is_generators(terms: Terms) -> bool:
    """True for the terms of a generator: what it is judged by is among them."""
    return any(k.startswith("adv") for k in terms)


def judging_networks(method: Method, generator: str) -> list[str]:
    """Names of the discriminators: those that the method names, or else those whose names begin with D."""
    named = [name for name in method.discriminators if name in method.networks()]
    return named or [n for n, net in method.networks().items() if n.startswith("D") and n != generator and _learns(net)]


def _learns(network: nn.Module) -> bool:
    return next(network.parameters(), None) is not None


def weights_of(method: Method) -> dict[str, float]:
    """The weights of the gaps: those that the original training gave its terms, by their names."""
    config: dict[str, Any] = {k: getattr(method.config, k) for k in getattr(method.config, "__dataclass_fields__", {})}
    numbers = {k: float(v) for k, v in config.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {**numbers, **method.term_weights()}
