"""Images larger than memory: windows that overlap and blend, with norm statistics of the whole image.

A window's inner part equals the whole image's translation once the overlap reaches the network's receptive field and
its norms know the whole image. Instance norm (and batch norm with an image's own statistics) would otherwise take
each window's own mean and variance, and windows would differ in colour at any overlap. Three sources of statistics:

- the whole image in one pass, recording: exact, for images that fit the memory;
- the whole image in windows, norm after norm, one pass over all windows for each: exact for any size, at the price of
  about half as many passes of the network as it has such norms;
- the image averaged down by a whole number, in one pass or in windows, at a fraction of the price: near enough at 2
  (32 to 42 dB from the exact translation, measured with two trained ResNets), less so at 3 (27 to 35) and 4.

Gathering all norms' statistics in one pass over windows and starting again from them does not converge: it diverges.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, product
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.errors import I2IError
from i2i.models.flat import ABSOLUTE, RELATIVE, exact_on_flat, own_norms, replace

Read = Callable[[slice, slice], Tensor]  # rows, columns -> float32 [C, h, w] in [-1, 1]
Forward = Callable[[nn.Module, Tensor], Tensor]  # network, [B, C, h, w] on any device -> float32 output on the CPU
T = TypeVar("T")
PRICE = 3.0  # passes of the network that approximate statistics may cost


# ---- windows -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """One window along one axis: it reads [start, stop) and answers for [first, last), its core."""

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True)
class Grid:
    """How an image is cut: sides of the windows and the margin around their cores, all multiples of the network's."""

    height: int
    width: int
    margin: int
    radius: int  # of the receptive field; what lies nearer to a cut edge than this may be wrong

    def spans(self, length: int, side: int, multiple: int) -> list[Span]:
        """The windows along an axis of `length` (a multiple): equal sides, cores that partition it."""
        if length <= side:
            return [Span(0, length, 0, length)]
        count = -(-(length - side) // (side - 2 * self.margin)) + 1
        starts = [round(i * (length - side) / (count - 1) / multiple) * multiple for i in range(count)]
        cuts = [0, *((a + side + b) // 2 // multiple * multiple for a, b in pairwise(starts)), length]
        return [Span(s, s + side, a, b) for s, a, b in zip(starts, cuts, cuts[1:])]


def grid(tile: int, multiple: int, radius: int, overlap: int | None = None) -> Grid:
    """Windows of `tile` pixels a side, rounded up to what the network takes.

    overlap: pixels around each core; None: the receptive field, at most a quarter of the window. Raises I2IError if
    the overlap leaves no core."""
    side = max(1, -(-tile // multiple)) * multiple
    if overlap is None:
        margin = min(-(-radius // multiple) * multiple, max(multiple, side // 4 // multiple * multiple))
    else:
        margin = -(-overlap // multiple) * multiple
    if 2 * margin >= side:
        raise I2IError(
            f"Tiles of {tile} pixels with an overlap of {margin} leave nothing in the middle.",
            f"Give tiles of at least {4 * max(margin, multiple)} pixels.",
        )
    return Grid(side, side, margin, radius)


def _ramp(spans: Sequence[Span], at: int, radius: int) -> Tensor:
    """Weights [length] of window `at`: 1 inside, falling across what it shares with each neighbour."""
    here = spans[at]
    place = torch.arange(here.start, here.stop, dtype=torch.float32) + 0.5
    weight = torch.ones(here.stop - here.start)
    for other, edge, sign in ((at - 1, here.start, 1), (at + 1, here.stop, -1)):
        if not 0 <= other < len(spans):
            continue
        shared = spans[other].stop - here.start if sign > 0 else here.stop - spans[other].start
        useless = radius if 2 * radius <= shared else shared // 4
        fall = max(1e-3, shared - 2 * useless)
        weight = torch.minimum(weight, (((place - edge) * sign - useless) / fall).clamp(0, 1))
    return weight


# ---- what is asked of a network ------------------------------------------------------------------------------------


def receptive_radius(network: nn.Module, channels: int, multiple: int, most: int = 512) -> int:
    """How far, in pixels, an input pixel reaches in the output, norms' statistics held; `most` if at least that far.

    Found by sending a spot through a copy of the network whose weights are all positive and whose norms do nothing.
    """
    probe = copy.deepcopy(network).to("cpu", torch.float64)
    for name, module in [*probe.named_modules()]:
        if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.InstanceNorm2d):
            replace(probe, name, nn.Identity())
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.weight.data = torch.full_like(module.weight, 1 / module.weight.shape[0] / module.weight.shape[1])
            if module.bias is not None:
                module.bias.data.zero_()
    probe.eval()
    reach = 64
    while True:
        found = _spread(probe, channels, multiple, -(-min(reach, most) // multiple) * multiple)
        if found < reach or reach >= most:
            return min(found, most)
        reach *= 2


def _spread(probe: nn.Module, channels: int, multiple: int, reach: int) -> int:
    """How far a spot in an image with `reach` pixels at either side of it comes; `reach` if it comes to the edge."""
    x = torch.zeros(1, channels, max(16, multiple), 2 * reach + multiple, dtype=torch.float64)
    x[..., reach : reach + multiple] = 1.0
    with torch.inference_mode():
        y = probe(x)
    scale = y.shape[-1] / x.shape[-1]
    touched = (y != 0).any(dim=1)[0].any(dim=0).nonzero().flatten() / scale
    if not len(touched):
        return 0
    return max(reach - int(touched[0]), int(touched[-1]) + 1 - reach - multiple, 0)


def bytes_per_pixel(network: nn.Module, channels: int, multiple: int) -> float:
    """Memory that one pass takes for each input pixel: twice the most that a single layer reads and writes, and what
    waits for later layers, measured on a small image."""
    side = max(32, multiple)
    most, waiting = 0, 0

    def look(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal most, waiting
        if isinstance(made, Tensor) and given and isinstance(given[0], Tensor):
            most = max(most, (made.numel() + given[0].numel()) * 4)
            waiting = max(waiting, made.numel() * 4)

    probe = exact_on_flat(network)
    handles = [m.register_forward_hook(look) for m in probe.modules() if not [*m.children()]]
    device = next(network.parameters()).device
    with torch.inference_mode():
        probe(torch.zeros(1, channels, side, side, device=device))
    for handle in handles:
        handle.remove()
    return (2 * most + waiting) / side**2


# ---- statistics ----------------------------------------------------------------------------------------------------


class _Reached(Exception):
    """The norm whose statistics are being gathered has seen its input; the rest of the pass is not needed."""


class _Held(nn.Module):
    """Stands in for a norm with own statistics, and normalises by statistics that were gathered before."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.eps = float(getattr(norm, "eps", 1e-5))
        self.weight, self.bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
        self.mean: Tensor | None = None  # [C], float64
        self.var: Tensor | None = None
        self.gathered: list[tuple[int, Tensor, Tensor]] = []  # (values, mean, variance) of parts
        self.cores: list[tuple[float, float, float, float]] | None = None  # of each image, as fractions; None: all
        self.stop = False  # leave the network after gathering

    def gather(self, x: Tensor) -> None:
        """Takes in x [B, C, H, W]."""
        height, width = x.shape[-2:]
        for part, (top, bottom, left, right) in zip(x, self.cores or [(0.0, 1.0, 0.0, 1.0)] * len(x)):
            rows = slice(round(top * height), round(bottom * height))
            inner = part[:, rows, round(left * width) : round(right * width)].float()
            if inner.numel():
                var, mean = (t.double() for t in torch.var_mean(inner, (1, 2), correction=0))
                self.gathered.append((inner.shape[1] * inner.shape[2], mean, var))

    def settle(self) -> None:
        """Turns what was gathered into statistics of all of it."""
        if not self.gathered:
            return
        count = sum(n for n, _, _ in self.gathered)
        self.mean = torch.stack([m * (n / count) for n, m, _ in self.gathered]).sum(0)
        self.var = torch.stack([(v + (m - self.mean).square()) * (n / count) for n, m, v in self.gathered]).sum(0)
        self.gathered = []

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        if self.mean is None or self.var is None:
            self.gather(x)
            if self.stop:
                raise _Reached
            self.settle()
        assert self.mean is not None
        assert self.var is not None
        flat = self.var.sqrt() <= RELATIVE * self.mean.abs() + ABSOLUTE  # no more than rounding (see i2i.steady)
        scale = torch.where(flat, 0.0, (self.var + self.eps).rsqrt())
        shift = -self.mean * scale
        if self.weight is not None:
            scale = scale * self.weight
            shift = shift * self.weight
        if self.bias is not None:
            shift = shift + self.bias
        return torch.addcmul(shift.to(x)[:, None, None], x, scale.to(x)[:, None, None])


class Tiled:
    """A network for one image: windows in, blended rows out. Not shared between threads; make one an image."""

    def __init__(self, network: nn.Module, forward: Forward, multiple: int, batch: int = 1) -> None:
        self.forward, self.multiple, self.batch = forward, multiple, max(1, batch)
        self.network = exact_on_flat(network)
        self.held: list[_Held] = []
        for name in own_norms(network):
            norm = _Held(network.get_submodule(name))
            self.held.append(norm)
            replace(self.network, name, norm)

    def measure(self, x: Tensor) -> None:
        """Statistics of one image [C, H, W]: the whole one, or a reduced copy."""
        if self.held:
            self.forward(self.network, x[None])

    def measure_in_windows(self, read: Read, height: int, width: int, cut: Grid) -> None:
        """Statistics of the whole image, norm after norm in the order in which the network reaches them."""
        for norm in self.held:
            norm.stop = True
        for _ in self.held:
            for windows in self._windows(height, width, cut):
                cores = [
                    (
                        (v.first - v.start) / (v.stop - v.start),
                        (v.last - v.start) / (v.stop - v.start),
                        (h.first - h.start) / (h.stop - h.start),
                        (h.last - h.start) / (h.stop - h.start),
                    )
                    for v, h in windows
                ]
                for norm in self.held:
                    norm.cores = cores
                try:
                    self.forward(self.network, _stack(read, windows))
                except _Reached:
                    continue
                return  # no norm is without statistics any more
            for norm in self.held:
                norm.settle()

    def rows(self, read: Read, height: int, width: int, cut: Grid) -> Iterator[Tensor]:
        """The translated image from top to bottom as float32 [C, h, width * scale] in [-1, 1], some rows at a time.

        read: gives parts of the image, height x width multiples of the network's."""
        vertical = cut.spans(height, cut.height, self.multiple)
        horizontal = cut.spans(width, cut.width, self.multiple)
        across = [_ramp(horizontal, i, cut.radius) for i in range(len(horizontal))]
        sums = weights = None
        scale, begun = 1, 0
        for i, v in enumerate(vertical):
            down = _ramp(vertical, i, cut.radius)
            for numbers in _batched(range(len(horizontal)), self.batch):
                made = self.forward(self.network, _stack(read, [(v, horizontal[j]) for j in numbers]))
                if sums is None or weights is None:
                    scale = made.shape[-1] // (horizontal[0].stop - horizontal[0].start)
                    sums = made.new_zeros(made.shape[1], (v.stop - v.start) * scale, width * scale)
                    weights = made.new_zeros(sums.shape[1:])
                for j, part in zip(numbers, made):
                    weight = torch.outer(down, across[j]).repeat_interleave(scale, 0).repeat_interleave(scale, 1)
                    place = slice(horizontal[j].start * scale, horizontal[j].stop * scale)
                    sums[:, :, place] += part * weight
                    weights[:, place] += weight
            assert sums is not None
            assert weights is not None
            final = (vertical[i + 1].start if i + 1 < len(vertical) else height) * scale - begun
            yield (sums[:, :final] / weights[:final]).clamp(-1, 1)
            begun += final
            sums = torch.cat([sums[:, final:], torch.zeros_like(sums[:, :final])], 1)
            weights = torch.cat([weights[final:], torch.zeros_like(weights[:final])])

    def _windows(self, height: int, width: int, cut: Grid) -> Iterator[list[tuple[Span, Span]]]:
        down = cut.spans(height, cut.height, self.multiple)
        yield from _batched(product(down, cut.spans(width, cut.width, self.multiple)), self.batch)


def _batched(things: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(things)
    while some := list(islice(rest, size)):
        yield some


def _stack(read: Read, windows: Sequence[tuple[Span, Span]]) -> Tensor:
    return torch.stack([read(slice(v.start, v.stop), slice(h.start, h.stop)) for v, h in windows])


def factor_for(pixels: int, fits: int, norms: int) -> tuple[int, bool]:
    """By how much to average an image of `pixels` down for its statistics, and whether it then `fits` one pass.

    As little as fits, or as little as PRICE allows in windows, whichever loses less."""
    one_pass = max(1, math.ceil(math.sqrt(pixels / max(1, fits))))
    windows = max(1, math.ceil(math.sqrt(norms / 2 / PRICE)))
    return (one_pass, True) if one_pass <= windows else (windows, False)


def reduced(read: Read, height: int, width: int, factor: int, multiple: int) -> Tensor:
    """The image [C, H, W] averaged over squares of `factor` pixels, read a strip at a time; its sides are cut to
    multiples of the network's (never below one)."""
    strips = []
    usable = height // factor * factor
    step = max(factor, 512 // factor * factor)
    for top in range(0, max(1, usable), step):
        strip = read(slice(top, min(top + step, max(usable, 1))), slice(0, width))
        strips.append(fn.avg_pool2d(strip[None], factor)[0])
    small = torch.cat(strips, 1)
    rows, columns = (max(1, n // multiple) * multiple for n in small.shape[1:])
    if small.shape[1] < rows or small.shape[2] < columns:
        small = fn.interpolate(small[None], (max(rows, small.shape[1]), max(columns, small.shape[2])), mode="area")[0]
    return small[:, :rows, :columns]
