"""HED, a network that finds edges: Holistically-Nested Edge Detection (Xie and Tu 2015, arXiv 1504.06375)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.errors import I2IError
from i2i.nets.trunks import VGG16, VGG_GROUPS

MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)  # of the levels 0 to 255 of the training images
NAMES = ("One", "Two", "Thr", "Fou", "Fiv")  # of the five groups in sniklaus/pytorch-hed
FUSE = ("score-final", "score_final", "score_fuse", "new-score-weighting", "new_score_weighting", "moduleCombine.0")
FIXED = ("upsample", "up", "weight_deconv", "deconv")  # beginnings of names of the fixed bilinear enlargements


class HED(nn.Module):
    """RGB images [B, 3, H, W] in [-1, 1], sides of at least 16 pixels -> how likely an edge is, [B, 1, H, W] in [0, 1].

    The convolutions of VGG16; a score from the last map of each of its five groups, enlarged to the image's size; and a
    weighted sum of the five."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = VGG16()
        self.scores = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in VGG16.widths)
        self.fuse = nn.Conv2d(len(VGG16.widths), 1, 1)

    def sides(self, x: Tensor) -> list[Tensor]:
        """The logits of the five groups, each [B, 1, H, W]."""
        levels = (x.flip(1) + 1) * 127.5 - x.new_tensor(MEAN_BGR)[:, None, None]
        maps = zip(self.scores, self.trunk(levels), strict=True)
        return [fn.interpolate(score(taps), x.shape[-2:], mode="bilinear", align_corners=False) for score, taps in maps]

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, 1, H, W]."""
        return self.fuse(torch.cat(self.sides(x), 1)).sigmoid()


def load_hed(weights: Mapping[str, Tensor], where: str) -> HED:
    """HED with weights by the names of the Caffe model (conv1_1, ..., score-dsn1, ..., new-score-weighting) or of its
    usual conversion to PyTorch (moduleVggOne.0, ..., moduleScoreOne, ..., moduleCombine.0).

    where: names the file in errors. Raises I2IError if they are the weights of another network."""
    net = HED()
    state = {ours: value.float() for key, value in weights.items() if (ours := _name(key))}
    own = net.state_dict()
    wrong = sorted(k for k, v in own.items() if k not in state or state[k].numel() != v.numel())
    more = sorted(k for k in weights if _name(k) is None)
    if wrong or more:
        reason = f"{len(wrong)} of {len(own)} tensors are missing or differ" if wrong else f"{more[0]} has no place"
        raise I2IError(
            f"{where} does not hold the weights of HED: {reason}.",
            "Give the Caffe model's weights as PyTorch tensors: conv1_1.weight, ..., or moduleVggOne.0.weight, ...",
        )
    net.load_state_dict({k: state[k].reshape(v.shape) for k, v in own.items()})
    return net.eval().requires_grad_(False)


def _table() -> dict[str, str]:
    """Names of layers in files -> our names."""
    table, number = {}, 0
    for group, widths in enumerate(VGG_GROUPS, 1):
        start = 0 if group == 1 else 1  # the conversion has the max-pool in front
        for i in range(len(widths)):
            table[f"conv{group}_{i + 1}"] = f"trunk.conv{number}"
            table[f"moduleVgg{NAMES[group - 1]}.{start + 2 * i}"] = f"trunk.conv{number}"
            number += 1
        for name in (f"score-dsn{group}", f"score_dsn{group}", f"moduleScore{NAMES[group - 1]}"):
            table[name] = f"scores.{group - 1}"
    return table | dict.fromkeys(FUSE, "fuse")


_OURS = _table()


def _name(key: str) -> str | None:
    """Our name of a tensor; "" for one that is fixed, and None for one that HED does not have."""
    layer, _, leaf = key.replace("netVgg", "moduleVgg").rpartition(".")
    layer = layer.replace("netScore", "moduleScore").replace("netCombine", "moduleCombine")
    if leaf in ("weight", "bias") and layer in _OURS:
        return f"{_OURS[layer]}.{leaf}"
    return "" if key.startswith(FIXED) else None
