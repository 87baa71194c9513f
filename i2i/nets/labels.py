"""Label maps as the input of networks: one channel for each class, and the edges between things.

As in pix2pixHD (Wang et al. 2018, arXiv 1711.11585, section 3.3).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.config import Channels
from i2i.core.errors import I2IError
from i2i.media.palette import Palette
from i2i.nets.choice import Choice, Choosing
from i2i.nets.registry import build, network_arguments, network_name, register


def one_hot_map(label: Tensor, classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Classes int64 [B, 1, H, W] as maps [B, classes, H, W] of 0 and 1."""
    numbers = torch.arange(classes, device=label.device)[None, :, None, None]
    return (label == numbers).to(dtype)


def instance_edges(ids: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """1 where a pixel's number differs from that of the pixel to the left, right, above or below; else 0.

    ids: whole numbers [B, 1, H, W] of things; not in 8 bits, if there are more than 256. Outside of the image nothing
    differs."""
    rows, columns = ids[:, :, 1:] != ids[:, :, :-1], ids[..., 1:] != ids[..., :-1]
    edges = fn.pad(rows, (0, 0, 1, 0)) | fn.pad(rows, (0, 0, 0, 1))
    return (edges | fn.pad(columns, (1, 0)) | fn.pad(columns, (0, 1))).to(dtype)


def label_input(label: Tensor, classes: int, ids: Tensor | None = None) -> Tensor:
    """pix2pixHD's input [B, classes (+ 1), H, W]: the classes int64 [B, 1, H, W] one-hot, then the edges of `ids`."""
    maps = one_hot_map(label, classes)
    return maps if ids is None else torch.cat([maps, instance_edges(ids)], 1)


class LabelEncoder(nn.Module):
    """Label maps in colors [B, C, H, W] in [-1, 1] -> [B, classes (+ 1), H, W] of 0 and 1, by the nearest color.

    edges: adds a last channel, 1 at both sides of a border between two colors, which may be of one class."""

    colors: Tensor
    classes: Tensor

    def __init__(self, palette: Palette, edges: bool) -> None:
        super().__init__()
        self.count, self.edges = palette.count, edges
        self.channels = palette.count + edges
        self.register_buffer("colors", torch.tensor(palette.colors, dtype=torch.float32), persistent=False)
        self.register_buffer("classes", torch.tensor(palette.classes), persistent=False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, channels, H, W], in x's type."""
        levels, colors = (x.float() + 1) * 127.5, self.colors.float()
        distance = torch.stack([(levels[:, c : c + 1] - colors[:, c, None, None]).square() for c in range(x.shape[1])])
        nearest = distance.sum(0).argmin(1, keepdim=True)
        maps = one_hot_map(self.classes[nearest], self.count, x.dtype)
        return torch.cat([maps, instance_edges(nearest, x.dtype)], 1) if self.edges else maps


@register("labels")
class LabelInput(Choosing):
    """A network of label maps in colors: they become one channel for each class in front of a network of any kind.

    palette: text of `i2i.media.palette`. edges: see `LabelEncoder`. network, arguments: name and constructor's
    arguments of the network behind it, which takes those channels. Its choices are those of that network. Raises
    I2IError for a palette or a network that there is not."""

    def __init__(
        self,
        palette: str,
        edges: bool,
        network: str,
        arguments: dict[str, Any],
        channels_in: Channels = 3,
        channels_out: Channels = 3,
    ) -> None:
        super().__init__()
        if network == "labels":
            raise I2IError(
                "network is 'labels', which wraps another network.",
                "Give the name of a network of images.",
            )
        self.encode = LabelEncoder(Palette.of_text(palette), edges)
        self.net = build(network, **arguments)
        if isinstance(self.net, Choosing):
            self.choices = self.net.choices
        for name in ("multiple", "scale"):
            if hasattr(self.net, name):
                setattr(self, name, getattr(self.net, name))

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains of the network behind it."""
        return self.net.domains if isinstance(self.net, Choosing) else ()

    def chosen(self, choice: Choice) -> nn.Module:
        """The network of one answer."""
        return nn.Sequential(self.encode, self.net.chosen(choice) if isinstance(self.net, Choosing) else self.net)

    def forward(self, x: Tensor, *others: Any) -> Tensor:
        """[B, channels_in, H, W] in colors -> [B, channels_out, H, W] in [-1, 1]. others: go to the network, too."""
        return self.net(self.encode(x), *others)


def without_labels(net: nn.Module) -> nn.Module:
    """The network behind the encoder of label maps; `net` itself if there is none."""
    return net.net if isinstance(net, LabelInput) else net


def with_labels(net: nn.Module, palette: str, edges: bool, channels_in: int, channels_out: int) -> nn.Module:
    """`net` behind an encoder of label maps in the colors of `palette`; `net` itself without a palette.

    channels_in: of the label maps in colors."""
    if not palette:
        return net
    arguments = network_arguments(net)
    with torch.device("meta"):  # built for its form; its weights are those of `net`
        labelled = LabelInput(palette, edges, network_name(net), arguments, channels_in, channels_out)
    labelled.encode, labelled.net = LabelEncoder(Palette.of_text(palette), edges), net
    return labelled
