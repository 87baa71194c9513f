"""Which weights of a network stay: masks by magnitude, the 2:4 pattern, whole filters, and the gradual schedule.

Masks are uint8 of the weight's shape, 1 = stays. The smallest absolute values go first; where values are equal, the
earlier one. Biases, norms and depthwise convolutions are never pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

GROUP, STAY = 4, 2  # of four neighbors two stay
Masks = dict[str, Tensor]


def by_magnitude(weight: Tensor, share: float) -> Tensor:
    """The mask of one weight: the round(share * size) smallest absolute values go (Python's round)."""
    return _without_smallest(weight.detach().abs().flatten(), share).view(weight.shape)


def over_all(weights: Mapping[str, Tensor], share: float) -> Masks:
    """The masks of several weights with one threshold for all: round(share * total size) values go."""
    values = torch.cat([w.detach().abs().flatten() for w in weights.values()])
    parts = _without_smallest(values, share).split([w.numel() for w in weights.values()])
    return {name: part.view(w.shape) for (name, w), part in zip(weights.items(), parts, strict=True)}


def by_filter(weight: Tensor, share: float) -> Tensor:
    """The mask [filters] of a weight [filters, ...]: the round(share * filters) with the smallest L1 norm go."""
    return _without_smallest(weight.detach().abs().flatten(1).sum(1), share)


def two_of_four(weight: Tensor, share: float = 0.5) -> Tensor:
    """The 2:4 mask of a weight: of each four neighbors along dimension 1, the two largest absolute values stay.

    A weight whose dimension 1 is no multiple of four stays whole. share is not used: it is always one half."""
    if weight.dim() < 2 or weight.shape[1] % GROUP:
        return torch.ones_like(weight, dtype=torch.uint8)
    grouped = weight.detach().abs().movedim(1, -1)
    grouped = grouped.reshape(*grouped.shape[:-1], -1, GROUP)
    largest = grouped.topk(STAY, -1).indices
    mask = torch.zeros_like(grouped, dtype=torch.uint8).scatter_(-1, largest, 1)
    return mask.flatten(-2).movedim(-1, 1).contiguous()


def _without_smallest(values: Tensor, share: float) -> Tensor:
    """The mask [n] of values [n] >= 0 without the round(share * n) smallest."""
    mask = torch.ones_like(values, dtype=torch.uint8)
    mask[values.argsort(stable=True)[: round(share * len(values))]] = 0
    return mask


GRANULARITIES: dict[str, Callable[[Tensor, float], Tensor]] = {"elements": by_magnitude, "2:4": two_of_four}


def cubic(step: int, total: int, start: float, target: float, end: float = 0.5, every: int = 1) -> float:
    """The share of zeros at `step` of `total`: from `start` to `target` by a cubic curve that ends at `end` of the run.

    Zhu and Gupta 2017, arXiv 1710.01878. every: steps between two changes."""
    changed = step // every * every
    left = 1 - min(1.0, changed / (end * total)) if end > 0 else 0.0
    return target + (start - target) * left**3


class Pruning(nn.Module):
    """The masks of a network's convolutions and dense layers, as buffers, so that they are saved and resumed.

    kind: of GRANULARITIES. Depthwise convolutions stay whole: they have few weights, each of which does much."""

    def __init__(self, network: nn.Module, kind: str = "elements") -> None:
        super().__init__()
        self.kind = kind
        self._names: dict[str, str] = {}  # of the weights -> of the buffers
        for name, weight in prunable(network).items():
            self._names[name] = name.replace(".", "/")
            self.register_buffer(self._names[name], torch.ones_like(weight, dtype=torch.uint8))

    @torch.no_grad()
    def prune(self, network: nn.Module, share: float) -> None:
        """Chooses the masks anew for a share of zeros, by the present weights, and applies them."""
        for name, weight in prunable(network).items():
            self.get_buffer(self._names[name]).copy_(GRANULARITIES[self.kind](weight, share))
        self.apply_to(network)

    @torch.no_grad()
    def apply_to(self, network: nn.Module) -> None:
        """Sets the weights that do not stay to zero: after each update, whose momentum would revive them."""
        for name, weight in prunable(network).items():
            weight.mul_(self.get_buffer(self._names[name]).to(weight.dtype))


def prunable(network: nn.Module) -> dict[str, Tensor]:
    """The weights of a network that pruning acts on, by name."""
    weights: dict[str, Tensor] = {}
    for name, module in network.named_modules():
        if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) or getattr(module, "groups", 1) > 1:
            continue
        if isinstance(module.weight, nn.Parameter):
            weights[f"{name}.weight".removeprefix(".")] = module.weight
    return weights


def zeros(network: nn.Module) -> float:
    """The share of zeros among the weights that pruning acts on."""
    weights = prunable(network).values()
    count = sum(w.numel() for w in weights)
    return sum(int((w == 0).sum()) for w in weights) / max(1, count)
