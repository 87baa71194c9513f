"""Two measurements of a network that tiling needs: its receptive field, and the memory of one pass."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.models.flat import copy_sharing_tensors, replace
from i2i.nets.labels import LabelEncoder

MAX_RADIUS = 512  # pixels; networks that reach farther count as reaching this far


def receptive_radius(network: nn.Module, channels: int, multiple: int, limit: int = MAX_RADIUS) -> int:
    """How many pixels away an input pixel still changes the output, at most `limit`; norm statistics count as fixed.

    channels: of the input. multiple: of which its height and width must be multiples. A spot is sent through a copy of
    the network whose weights are all positive, so that nothing cancels, and whose norms do nothing."""
    probe = copy.deepcopy(network).to("cpu", torch.float64)
    for name, module in [*probe.named_modules()]:
        if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.InstanceNorm2d):
            replace(probe, name, nn.Identity())
        elif isinstance(module, LabelEncoder):
            replace(probe, name, _Spread(module.channels, 3 if module.edges else 1))
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.weight.data = torch.full_like(module.weight, 1 / module.weight.shape[0] / module.weight.shape[1])
            if module.bias is not None:
                module.bias.data.zero_()
    probe.eval()

    # Start with a small image and double it until the spot's effect ends before the border.
    border = 64
    while True:
        radius = _effect_radius(probe, channels, multiple, -(-min(border, limit) // multiple) * multiple)
        if radius < border or border >= limit:
            return min(radius, limit)
        border *= 2


class _Spread(nn.Module):
    """Stands for an encoder of label maps: the spot goes into each of `channels`, `reach` pixels wide."""

    def __init__(self, channels: int, reach: int) -> None:
        super().__init__()
        self.channels, self.reach = channels, reach

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, channels, H, W]."""
        return fn.max_pool2d(x[:, :1], self.reach, 1, self.reach // 2).expand(-1, self.channels, -1, -1)


def _effect_radius(probe: nn.Module, channels: int, multiple: int, border: int) -> int:
    """How far the effect of a spot reaches in an image with `border` pixels at its left and right."""
    x = torch.zeros(1, channels, max(16, multiple), 2 * border + multiple, dtype=torch.float64)
    x[..., border : border + multiple] = 1.0
    with torch.inference_mode():
        y, without = probe(x), probe(torch.zeros_like(x))  # a network with noise of its own is not 0 without the spot
    scale = y.shape[-1] / x.shape[-1]
    changed = (y != without).any(dim=1)[0].any(dim=0).nonzero().flatten() / scale  # columns, in pixels of the input
    if not len(changed):
        return 0
    return max(border - int(changed[0]), int(changed[-1]) + 1 - border - multiple, 0)


def bytes_per_pixel(network: nn.Module, channels: int, multiple: int) -> float:
    """Memory of one pass of the network in bytes for each input pixel, measured on a small image.

    It is twice the most that a single layer reads and writes, plus the largest map that waits for later layers."""
    side = max(32, multiple)
    largest_layer, largest_map = 0, 0

    def measure(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal largest_layer, largest_map
        if isinstance(output, Tensor) and inputs and isinstance(inputs[0], Tensor):
            largest_layer = max(largest_layer, (output.numel() + inputs[0].numel()) * 4)
            largest_map = max(largest_map, output.numel() * 4)

    probe = copy_sharing_tensors(network)
    hooks = [m.register_forward_hook(measure) for m in probe.modules() if not [*m.children()]]
    device = next(network.parameters()).device
    with torch.inference_mode():
        probe(torch.zeros(1, channels, side, side, device=device))
    for hook in hooks:
        hook.remove()
    return (2 * largest_layer + largest_map) / side**2
