"""Inception-v3, on whose features FID and the Inception score of papers are measured. Not trained here.

Szegedy et al. 2015 (arXiv 1512.00567), in two forms: "fid", the graph of 2015 that FID uses (1,008 logits; averages do
not count the zeros at the border; a maximum in the last block), and "torchvision" (1,000 logits). Their features
differ, and so do the scores. Parameter names are those of torchvision, which the public weights of both forms have.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 2048
LOGITS = {"fid": 1008, "torchvision": 1000}
SIZE = 299  # pixels a side of its input
Form = Literal["fid", "torchvision"]


class BasicConv2d(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(
        self, before: int, width: int, kernel: int | tuple[int, int], stride: int = 1, pad: bool = False
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(before, width, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Branches(nn.Module):
    """Base of the blocks: `chain` runs layers by name, one after the other."""

    def chain(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = self.get_submodule(name)(x)
        return x


class InceptionA(Branches):
    """35 x 35 positions; 224 channels and `pooled` more."""

    def __init__(self, before: int, pooled: int, counts_zeros: bool) -> None:
        super().__init__()
        self.counts_zeros = counts_zeros
        self.branch1x1 = BasicConv2d(before, 64, 1)
        self.branch5x5_1 = BasicConv2d(before, 48, 1)
        self.branch5x5_2 = BasicConv2d(48, 64, 5, pad=True)
        self.branch3x3dbl_1 = BasicConv2d(before, 64, 1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, 3, pad=True)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, 3, pad=True)
        self.branch_pool = BasicConv2d(before, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = [
            self.branch1x1(x),
            self.chain(x, "branch5x5_1", "branch5x5_2"),
            self.chain(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
            self.branch_pool(_average(x, self.counts_zeros)),
        ]
        return torch.cat(parts, 1)


class InceptionB(Branches):
    """From 35 x 35 to 17 x 17 positions."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.branch3x3 = BasicConv2d(before, 384, 3, 2)
        self.branch3x3dbl_1 = BasicConv2d(before, 64, 1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, 3, pad=True)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.chain(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class InceptionC(Branches):
    """17 x 17 positions, 768 channels; windows of 7 positions, first along one axis, then along the other."""

    def __init__(self, inner: int, counts_zeros: bool) -> None:
        super().__init__()
        self.counts_zeros = counts_zeros
        self.branch1x1 = BasicConv2d(768, 192, 1)
        self.branch7x7_1 = BasicConv2d(768, inner, 1)
        self.branch7x7_2 = BasicConv2d(inner, inner, (1, 7), pad=True)
        self.branch7x7_3 = BasicConv2d(inner, 192, (7, 1), pad=True)
        self.branch7x7dbl_1 = BasicConv2d(768, inner, 1)
        self.branch7x7dbl_2 = BasicConv2d(inner, inner, (7, 1), pad=True)
        self.branch7x7dbl_3 = BasicConv2d(inner, inner, (1, 7), pad=True)
        self.branch7x7dbl_4 = BasicConv2d(inner, inner, (7, 1), pad=True)
        self.branch7x7dbl_5 = BasicConv2d(inner, 192, (1, 7), pad=True)
        self.branch_pool = BasicConv2d(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = [
            self.branch1x1(x),
            self.chain(x, "branch7x7_1", "branch7x7_2", "branch7x7_3"),
            self.chain(x, *(f"branch7x7dbl_{i}" for i in range(1, 6))),
            self.branch_pool(_average(x, self.counts_zeros)),
        ]
        return torch.cat(parts, 1)


class InceptionD(Branches):
    """From 17 x 17 to 8 x 8 positions."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = BasicConv2d(768, 192, 1)
        self.branch3x3_2 = BasicConv2d(192, 320, 3, 2)
        self.branch7x7x3_1 = BasicConv2d(768, 192, 1)
        self.branch7x7x3_2 = BasicConv2d(192, 192, (1, 7), pad=True)
        self.branch7x7x3_3 = BasicConv2d(192, 192, (7, 1), pad=True)
        self.branch7x7x3_4 = BasicConv2d(192, 192, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.chain(x, *(f"branch7x7x3_{i}" for i in range(1, 5)))
        return torch.cat([self.chain(x, "branch3x3_1", "branch3x3_2"), wide, F.max_pool2d(x, 3, 2)], 1)


class InceptionE(Branches):
    """8 x 8 positions, 2,048 channels. pool: what the pooled branch does with 3 x 3 positions."""

    def __init__(self, before: int, pool: Literal["average", "average counting zeros", "maximum"]) -> None:
        super().__init__()
        self.pool = pool
        self.branch1x1 = BasicConv2d(before, 320, 1)
        self.branch3x3_1 = BasicConv2d(before, 384, 1)
        self.branch3x3_2a = BasicConv2d(384, 384, (1, 3), pad=True)
        self.branch3x3_2b = BasicConv2d(384, 384, (3, 1), pad=True)
        self.branch3x3dbl_1 = BasicConv2d(before, 448, 1)
        self.branch3x3dbl_2 = BasicConv2d(448, 384, 3, pad=True)
        self.branch3x3dbl_3a = BasicConv2d(384, 384, (1, 3), pad=True)
        self.branch3x3dbl_3b = BasicConv2d(384, 384, (3, 1), pad=True)
        self.branch_pool = BasicConv2d(before, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single, double = self.branch3x3_1(x), self.chain(x, "branch3x3dbl_1", "branch3x3dbl_2")
        pooled = F.max_pool2d(x, 3, 1, 1) if self.pool == "maximum" else _average(x, self.pool != "average")
        parts = [
            self.branch1x1(x),
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(pooled),
        ]
        return torch.cat(parts, 1)


class InceptionV3(nn.Module):
    """Images [B, 3, 299, 299], normalized as the form needs -> features [B, 2048] and logits without bias [B, K].

    The Inception score of the literature leaves the bias of the last layer out."""

    def __init__(self, form: Form = "fid") -> None:
        super().__init__()
        zeros = form == "torchvision"
        self.Conv2d_1a_3x3 = BasicConv2d(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = BasicConv2d(32, 32, 3)
        self.Conv2d_2b_3x3 = BasicConv2d(32, 64, 3, pad=True)
        self.Conv2d_3b_1x1 = BasicConv2d(64, 80, 1)
        self.Conv2d_4a_3x3 = BasicConv2d(80, 192, 3)
        self.Mixed_5b = InceptionA(192, 32, zeros)
        self.Mixed_5c = InceptionA(256, 64, zeros)
        self.Mixed_5d = InceptionA(288, 64, zeros)
        self.Mixed_6a = InceptionB(288)
        self.Mixed_6b = InceptionC(128, zeros)
        self.Mixed_6c = InceptionC(160, zeros)
        self.Mixed_6d = InceptionC(160, zeros)
        self.Mixed_6e = InceptionC(192, zeros)
        self.Mixed_7a = InceptionD()
        self.Mixed_7b = InceptionE(1280, "average counting zeros" if zeros else "average")
        self.Mixed_7c = InceptionE(2048, "average counting zeros" if zeros else "maximum")
        self.fc = nn.Linear(FEATURES, LOGITS[form])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = self.get_submodule(f"Mixed_{name}")(x)
        features = x.mean((2, 3))
        return features, features @ self.fc.weight.T


def _average(x: Tensor, counts_zeros: bool) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=counts_zeros)
