"""EfficientNet-Lite0: the small ImageNet network on which sets of images are compared offline. Not trained here.

Tan and Le 2019 (arXiv 1905.11946), in the Lite form: ReLU6, and no squeeze-and-excitation. Parameter names are those of
the public PyTorch weights.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

FEATURES, CLASSES = 1280, 1000
# (repeats, kernel, stride of the first block, expansion, width) of each stage
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
MAPS = (0, 2, 4, 10)  # blocks whose outputs are the last ones of their size
EPS = 1e-3  # of the batch norms


class SameConv2d(nn.Conv2d):
    """A convolution whose output has ceil(side / stride) positions a side: the smaller half of the zeros in front."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for side, kernel, stride in reversed(list(zip(x.shape[2:], self.kernel_size, self.stride))):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


class Block(nn.Module):
    """An inverted residual block: 1 x 1 to `expansion` times the channels, depthwise, 1 x 1 to `width` channels."""

    def __init__(self, before: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        self.adds_input = stride == 1 and before == width
        if expansion > 1:
            self._expand_conv = nn.Conv2d(before, inner, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(inner, EPS)
        self.expands = expansion > 1
        self._depthwise_conv = SameConv2d(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = nn.BatchNorm2d(inner, EPS)
        self._project_conv = nn.Conv2d(inner, width, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(width, EPS)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds_input else y


class EfficientNetLite0(nn.Module):
    """Images [B, 3, 224, 224], (level - 127) / 128 -> features [B, 1280] and ImageNet logits [B, 1000]."""

    least = 16  # pixels a side that leave a position in the last of `maps`

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, EPS)
        blocks, before = [], 32
        for repeats, kernel, stride, expansion, width in STAGES:
            for i in range(repeats):
                blocks.append(Block(before, width, kernel, stride if i == 0 else 1, expansion))
                before = width
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(before, FEATURES, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(FEATURES, EPS)
        self._fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        features = F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))
        return features, self._fc(features)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The ends of the stages at 1/2, 1/4, 1/8 and 1/16 of the sides: 16, 24, 40 and 112 channels, not clipped."""
        x = F.relu6(self._bn0(self._conv_stem(x)))
        maps = []
        for i, block in enumerate(self._blocks[: MAPS[-1] + 1]):
            x = block(x)
            if i in MAPS:
                maps.append(x)
        return maps
