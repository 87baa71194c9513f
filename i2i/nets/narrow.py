"""A narrower network of the same kind, which starts with the most important channels of a trained one.

As in GAN Compression (Li et al. 2020, arXiv 2003.08936): from the first layer to the last, a channel's importance is
the sum of the absolute weights that make it, from the channels that stay. Sums and skips keep their channels aligned.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.nets.blocks import SeparableConv, SeparableUp
from i2i.nets.dcgan import DCGANGenerator
from i2i.nets.lab import LabColorizer
from i2i.nets.registry import build, network_arguments, network_name
from i2i.nets.resnet import ResidualBlock, ResNet
from i2i.nets.unet import UNet, UNetLevel

KINDS = (ResNet, UNet, DCGANGenerator)  # networks that can be narrowed; their argument `width` says how wide they are
SCALED = ("max_width", "detail")  # arguments that shrink with `width`
Conv = nn.Conv2d | nn.ConvTranspose2d


def inner(network: nn.Module) -> nn.Module:
    """The network that has a width: the one inside of a generator in CIE Lab, or `network` itself."""
    return network.generator if isinstance(network, LabColorizer) else network


def width_of(network: nn.Module) -> int:
    """The width that a network was built with; 1 for a network without one."""
    return int(network_arguments(inner(network)).get("width", 1))


def of_width(network: nn.Module, width: int, kind: str | None = None, detail: int = 0) -> nn.Module:
    """A new network like `network`, but of `width`, with random weights. kind: another registered name. detail: of a
    U-Net that has it; 0: the same share as of the width.

    Raises I2IError if `network` has no width."""
    if isinstance(network, LabColorizer):
        return LabColorizer.around(of_width(network.generator, width, kind, detail), network.arguments["channels_in"])
    arguments = network_arguments(network)
    if "width" not in arguments:
        raise I2IError(
            f"{type(network).__name__} has no width, so there is no narrower form of it.",
            "Give --method prune --granularity elements.",
        )
    share = width / arguments["width"]
    scaled = {k: max(1, round(arguments[k] * share)) for k in SCALED if arguments.get(k)}
    if detail and arguments.get("detail"):
        scaled["detail"] = detail
    return build(kind or network_name(network), **{**arguments, **scaled, "width": width})


def narrow(network: nn.Module, width: int) -> nn.Module:
    """A network of the same kind of `width`, with the most important channels of `network`; on its device.

    Raises I2IError for other networks than those of KINDS, and for a width larger than the network's."""
    if not isinstance(inner(network), KINDS):
        raise I2IError(
            f"{type(inner(network)).__name__} has no narrower form that keeps its weights.",
            "Whole filters can be removed from ResNet, U-Net and DCGAN generators. Give --granularity elements.",
        )
    own = width_of(network)
    if not 0 < width <= own:
        raise I2IError(f"The narrower network would have width {width}.", f"Allowed: 1 to {own}, that of the original.")
    student = of_width(network, width).to(next(network.parameters()))
    copy_channels(network, student)
    return student.train(network.training)


@torch.no_grad()
def copy_channels(old: nn.Module, new: nn.Module) -> None:
    """Copies the most important channels of `old` into `new`, a narrower or equally wide network of the same kind.

    Nothing is copied between networks of two kinds, and of other kinds than KINDS."""
    old, new = inner(old), inner(new)
    if type(old) is not type(new):
        return
    if isinstance(old, UNet) and isinstance(new, UNet):
        _unet(old, new)
    elif isinstance(old, ResNet) and isinstance(new, ResNet):
        _in_order(list(old.model), list(new.model), None)
    elif isinstance(old, DCGANGenerator) and isinstance(new, DCGANGenerator):
        index = _project(old.project, new.project)
        _in_order(list(old.main), list(new.main), index)


def _in_order(old: list[nn.Module], new: list[nn.Module], index: Tensor | None) -> Tensor | None:
    """Copies a list of layers one after the other. index: channels of the input that stay; None: all. Returns those of
    the output; the last convolution keeps all of its outputs."""
    last = max(i for i, layer in enumerate(old) if isinstance(layer, Conv))
    for i, (before, after) in enumerate(zip(old, new, strict=True)):
        index = _layer(before, after, index, every=i == last)
    return index


def _layer(old: nn.Module, new: nn.Module, index: Tensor | None, every: bool = False) -> Tensor | None:
    """Copies one layer, and returns the channels of its output that stay."""
    if isinstance(old, ResidualBlock):
        _residual(old, cast(ResidualBlock, new), index)
    elif isinstance(old, SeparableConv):
        return _separable(old, cast(SeparableConv, new), index)
    elif isinstance(old, SeparableUp):
        up = cast(SeparableUp, new)
        index = _conv(old.mix, up.mix, index)
        _rows(old.each, up.each, index)
    elif isinstance(old, Conv):
        return _conv(old, new, index, None if not every else torch.arange(old.out_channels))
    elif isinstance(old, nn.BatchNorm2d):
        _rows(old, new, index)
    return index


def _residual(old: ResidualBlock, new: ResidualBlock, index: Tensor | None) -> None:
    """x + block(x): the middle chooses channels of its own, the output has those of x."""
    convs = (nn.Conv2d, SeparableConv)
    middle, seen = index, 0
    for before, after in zip(old.conv_block, new.conv_block, strict=True):
        if isinstance(before, convs):
            seen += 1
            outputs = index if seen == 2 else None
            if isinstance(before, SeparableConv):
                middle = _separable(before, cast(SeparableConv, after), middle, outputs)
            else:
                middle = _conv(before, after, middle, outputs)
        else:
            _layer(before, after, middle)


def _separable(old: SeparableConv, new: SeparableConv, inputs: Tensor | None, outputs: Tensor | None = None) -> Tensor:
    """Copies both parts of a separable convolution; returns the outputs that stay."""
    _rows(old.conv[0], new.conv[0], inputs)
    return _conv(old.conv[2], new.conv[2], inputs, outputs)


def _unet(old: UNet, new: UNet) -> None:
    """A U-Net from outside to inside and back; the skips join channels that stay."""
    every = torch.arange(old.arguments["channels_in"])
    index = _level(old.model, new.model, every, old.detail is None)
    if old.detail is not None and new.detail is not None:
        width = old.arguments["detail"]
        joined = torch.cat([index, width + every])
        _in_order(list(old.detail.children()), list(new.detail.children()), joined)


def _level(old: UNetLevel, new: UNetLevel, inputs: Tensor, every: bool = False) -> Tensor:
    """One level; returns the channels of its output that stay. every: the last layer keeps all of its outputs."""
    index: Tensor | None = inputs
    layers = list(zip(old.model, new.model, strict=True))
    for before, after in layers:
        if isinstance(before, UNetLevel):
            index = _level(before, cast(UNetLevel, after), cast(Tensor, index))
        else:
            index = _layer(before, after, index, every=every and before is _last_conv(old))
    outputs = cast(Tensor, index)
    return outputs if old.outermost else torch.cat([inputs, _inputs(old) + outputs])


def _last_conv(level: UNetLevel) -> nn.Module:
    return [layer for layer in level.model if isinstance(layer, Conv | SeparableUp)][-1]


def _inputs(level: UNetLevel) -> int:
    """Channels of a level's input."""
    first = next(layer for layer in level.model if isinstance(layer, nn.Conv2d | SeparableConv))
    return first.in_channels if isinstance(first, nn.Conv2d) else cast(nn.Conv2d, first.conv[0]).in_channels


def _project(old: nn.Module, new: nn.Module) -> Tensor | None:
    """DCGAN's dense layer to a map of 4 x 4: a channel is 16 rows. Returns the channels that stay; None without one."""
    if not isinstance(old, nn.Linear) or not isinstance(new, nn.Linear):
        return None
    importance = old.weight.abs().view(-1, 16 * old.in_features).sum(1)
    index = importance.argsort(descending=True)[: new.out_features // 16]
    rows = (index[:, None] * 16 + torch.arange(16, device=index.device)).flatten()
    _rows(old, new, rows)
    return index


def _conv(old: nn.Module, new: nn.Module, inputs: Tensor | None, outputs: Tensor | None = None) -> Tensor:
    """Copies a convolution; returns the outputs that stay. inputs, outputs: those that stay, if that is decided."""
    assert isinstance(old, Conv)
    assert isinstance(new, Conv)
    transposed = isinstance(old, nn.ConvTranspose2d)
    weight = old.weight.transpose(0, 1) if transposed else old.weight  # [out, in, k, k]
    if inputs is not None:
        weight = weight[:, inputs]
    if outputs is None:
        outputs = weight.abs().sum((1, 2, 3)).argsort(descending=True)[: new.out_channels]
    weight = weight[outputs]
    new.weight.copy_(weight.transpose(0, 1) if transposed else weight)
    if old.bias is not None and new.bias is not None:
        new.bias.copy_(old.bias[outputs])
    return outputs


def _rows(old: nn.Module, new: nn.Module, index: Tensor | None) -> None:
    """Copies the rows `index` of everything that a depthwise convolution, a norm or a dense layer holds."""
    state: dict[str, Any] = {}
    for name, value in old.state_dict().items():
        state[name] = value[index] if index is not None and value.dim() else value
    new.load_state_dict(state)
