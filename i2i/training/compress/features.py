"""Where the feature maps of two generators are compared, and the 1x1 maps between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.nets.lab import LabColorizer
from i2i.nets.resnet import ResidualBlock, ResNet
from i2i.nets.unet import UNet, UNetLevel

MOST = 4  # places


def places_of(network: nn.Module) -> list[str]:
    """Names of the sub-modules whose outputs [B, C, H, W] are compared, the same number for networks of equal depth.

    ResNet: in front of the first residual block, and after each third of them. U-Net: what the levels give back. Other
    networks: none. A generator in CIE Lab: the places of the network inside of it."""
    if isinstance(network, LabColorizer):
        return [f"generator.{name}" for name in places_of(network.generator)]
    if isinstance(network, ResNet):
        blocks = [i for i, layer in enumerate(network.model) if isinstance(layer, ResidualBlock)]
        if not blocks:
            return []
        after = {blocks[0] + round(k * len(blocks) / (MOST - 1)) - 1 for k in range(MOST)}
        return [f"model.{i}" for i in sorted(after)]
    if isinstance(network, UNet):
        levels = [f"{name}.model" for name, m in network.named_modules() if isinstance(m, UNetLevel)][1:]
        return levels[:MOST]
    return []


@contextmanager
def captured(network: nn.Module, places: list[str]) -> Iterator[list[Tensor]]:
    """While active, the outputs of `places` of the first call of `network` are appended to the list that it yields."""
    outputs: list[Tensor] = []
    handles = []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
        if len(outputs) < len(order):
            outputs.append(output)

    order = list(places)
    for name in order:
        handles.append(network.get_submodule(name).register_forward_hook(keep))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def maps_between(student: nn.Module, teacher: nn.Module, size: int, channels: int) -> nn.ModuleList:
    """The learned 1x1 convolutions that bring the student's feature maps to the teacher's numbers of channels."""
    widths = []
    for network in (student, teacher):
        x = torch.zeros(1, channels, size, size, device=next(network.parameters()).device)
        training = network.training
        with torch.no_grad(), captured(network.eval(), places_of(network)) as outputs:
            network(x)
        network.train(training)
        widths.append([output.shape[1] for output in outputs])
    return nn.ModuleList(nn.Conv2d(own, other, 1) for own, other in zip(*widths, strict=True))


def distances(maps: nn.ModuleList, own: list[Tensor], others: list[Tensor]) -> list[Tensor]:
    """The mean squared distance at each place, scalars."""
    return [fn.mse_loss(to(a), b.detach()) for to, a, b in zip(maps, own, others, strict=True)]
