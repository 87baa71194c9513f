"""The convolutions of a ResNet classifier (He et al. 2015, arXiv 1512.03385) as an encoder that gives its maps of each
size. Names of weights are torchvision's, by position: 0 conv1, 1 bn1, 4 to 7 layer1 to layer4."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.nets.blocks import BatchNorm

# Name -> widths of the stem's and the four stages' maps, blocks of each stage, and whether blocks are bottlenecks.
ENCODERS: dict[str, tuple[tuple[int, ...], tuple[int, ...], bool]] = {
    "small": ((16, 24, 32, 64, 96), (1, 1, 1, 1), False),
    "resnet18": ((64, 64, 128, 256, 512), (2, 2, 2, 2), False),
    "resnet34": ((64, 64, 128, 256, 512), (3, 4, 6, 3), False),
    "resnet50": ((64, 256, 512, 1024, 2048), (3, 4, 6, 3), True),
    "resnet101": ((64, 256, 512, 1024, 2048), (3, 4, 23, 3), True),
}
POSITIONS = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}  # of torchvision


class EncoderBlock(nn.Module):
    """x + f(x) and a ReLU; f is two convolutions 3x3, or as a bottleneck 1x1, 3x3, 1x1 at a quarter of the width."""

    def __init__(self, before: int, after: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        inner = after // 4 if bottleneck else after
        shapes = [(before, inner, 1, 1), (inner, inner, 3, stride), (inner, after, 1, 1)]
        shapes = shapes if bottleneck else [(before, after, 3, stride), (after, after, 3, 1)]
        self.count = len(shapes)
        for i, (wide_in, wide_out, kernel, step) in enumerate(shapes, 1):
            self.add_module(f"conv{i}", nn.Conv2d(wide_in, wide_out, kernel, step, kernel // 2, bias=False))
            self.add_module(f"bn{i}", BatchNorm(wide_out))
        self.downsample: nn.Module | None = None
        if stride > 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), BatchNorm(after))

    def forward(self, x: Tensor) -> Tensor:
        """[B, before, H, W] -> [B, after, ceil(H / stride), ceil(W / stride)]."""
        y = x
        for i in range(1, self.count + 1):
            y = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(y))
            y = y.relu() if i < self.count else y
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNetEncoder(nn.Sequential):
    """Images [B, 3, H, W] -> five maps: the stem's at 1/2 of the size, and those of the stages at 1/4 to 1/32.

    widths: of the five maps. blocks: of each of the four stages. bottleneck: as in ResNet-50 and deeper."""

    def __init__(self, widths: Sequence[int], blocks: Sequence[int], bottleneck: bool = False) -> None:
        if len(widths) != 5 or len(blocks) != 4 or min(*widths, *blocks) < 1:
            raise I2IError(
                f"widths is {list(widths)} and blocks is {list(blocks)}.",
                "Give five widths (stem and four stages) and four numbers of blocks.",
            )
        stages = []
        for i, count in enumerate(blocks):
            first = EncoderBlock(widths[i], widths[i + 1], 2 if i else 1, bottleneck)
            rest = (EncoderBlock(widths[i + 1], widths[i + 1], 1, bottleneck) for _ in range(count - 1))
            stages.append(nn.Sequential(first, *rest))
        stem = nn.Conv2d(3, widths[0], 7, 2, 3, bias=False)
        super().__init__(stem, BatchNorm(widths[0]), nn.ReLU(), nn.MaxPool2d(3, 2, 1), *stages)
        self.start()

    @torch.no_grad()
    def start(self) -> None:
        """First weights as torchvision's: Kaiming's by the outputs of each convolution."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def maps(self, x: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> the stem's map and those of the four stages."""
        maps = [self[2](self[1](self[0](x)))]
        x = self[3](maps[0])
        for stage in list(self)[4:]:
            x = stage(x)
            maps.append(x)
        return maps

    def load_classifier(self, weights: dict[str, Tensor], where: str) -> None:
        """Takes the convolutions of a classifier's weights by torchvision's names; its last layer is left out.

        Raises I2IError, naming the file `where`, if they are those of another network."""
        state: dict[str, Tensor] = {}
        for name, value in weights.items():
            first, _, rest = name.partition(".")
            if first in POSITIONS:
                state[f"{POSITIONS[first]}.{rest}"] = value
        own = {k: v.shape for k, v in self.state_dict().items() if not k.endswith("num_batches_tracked")}
        wrong = sorted(k for k, shape in own.items() if k not in state or state[k].shape != shape)
        if wrong:
            raise I2IError(
                f"{where} does not hold the weights of this encoder ({len(wrong)} of {len(own)} tensors do not fit).",
                f"Set `encoder` to the network of the file: {', '.join(ENCODERS)}.",
            )
        self.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)
