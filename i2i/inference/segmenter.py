"""A small segmenter, trained on real pairs, and the FCN score of made photographs by it (Isola et al. 2017).

The published scores are those of one large network. This one is another, so its scores stand beside a ceiling (real
photographs) and a floor (real photographs of other label maps), and compare with nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.data.dataset import Data
from i2i.media.palette import Palette
from i2i.metrics.segmentation import confusion_matrix, segmentation_score

WIDTH = 24
BATCH = 8
RATE = 2e-3
SCORES = ("pixel_accuracy", "class_accuracy", "mean_iou")
Progress = Callable[[int, int], None]


class Segmenter(nn.Module):
    """Photographs [B, 3, H, W] in [-1, 1] to class scores [B, classes, H, W]: three levels down and up, with skips."""

    def __init__(self, classes: int, width: int = WIDTH) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 4 * width]
        self.down = nn.ModuleList(_block(a, b) for a, b in zip([3, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(_block(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, classes, H, W]."""
        maps: list[Tensor] = []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 or min(x.shape[2:]) < 2 else fn.avg_pool2d(x, 2))
            maps.append(x)
        for block, skip in zip(self.up, maps[-2::-1], strict=True):
            x = block(torch.cat([fn.interpolate(x, skip.shape[2:], mode="nearest"), skip], 1))
        return self.last(x)


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.GroupNorm(4, channels_out), nn.ReLU(inplace=True)
    )


class LabelReader:
    """Label maps as class numbers: each pixel takes the class of the nearest color of the palette."""

    def __init__(self, palette: Palette) -> None:
        self.colors = torch.tensor(palette.colors, dtype=torch.float32)  # [N, 1 or 3]
        self.classes = torch.tensor(palette.classes)
        self.count = palette.count

    def __call__(self, labels: Tensor) -> Tensor:
        """Label maps [B, C, H, W] in [-1, 1] as int64 [B, H, W]."""
        levels = (labels[:, : self.colors.shape[1]] + 1) * 127.5
        distance = torch.stack([(levels - color[:, None, None]).abs().sum(1) for color in self.colors])
        return self.classes[distance.argmin(0)]


def train(data: Data, read: LabelReader, steps: int, seed: int, progress: Progress | None = None) -> Segmenter:
    """A segmenter trained on the pairs of `data`, whose x are label maps and whose y are photographs."""
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        torch.manual_seed(seed)
        net = Segmenter(read.count)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    batches = data.batches(0, min(BATCH, data.count), 0, 1, seed)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
        batch = next(batches)
        assert batch.y is not None
        loss = fn.cross_entropy(net(_colored(batch.y)), read(batch.x))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if progress is not None:
            progress(step + 1, steps)
    getattr(batches, "close", lambda: None)()
    return net.eval().requires_grad_(False)


@torch.inference_mode()
def score(
    net: Segmenter, data: Data, count: int, read: LabelReader, translate: Callable[[list[Tensor]], list[Tensor]]
) -> dict[str, dict[str, float]]:
    """{"model", "ceiling", "floor"}: the FCN scores of what `translate` makes of the first `count` label maps, of the
    real photographs, and of the real photographs of other label maps (those half a set further on). The floor is left
    out if there is one pair only."""
    counts = {title: np.zeros((read.count, read.count), np.int64) for title in ("model", "ceiling", "floor")}
    for rows in _parts(count):
        samples = [data.item(i) for i in rows]
        others = [data.item((i + max(1, count // 2)) % data.count) for i in rows]
        made = translate([sample.x[0] for sample in samples])
        for sample, other, fake in zip(samples, others, made, strict=True):
            true = read(sample.x)
            assert sample.y is not None
            assert other.y is not None
            for title, photo in (("model", fake[None]), ("ceiling", sample.y), ("floor", other.y)):
                found = net(_colored(photo)).argmax(1)
                if found.shape != true.shape:
                    found = fn.interpolate(found[None].float(), true.shape[1:], mode="nearest")[0].long()
                counts[title] += confusion_matrix(true, found, read.count).numpy()
    if data.count == 1:
        del counts["floor"]
    results = {title: segmentation_score(torch.from_numpy(matrix)) for title, matrix in counts.items()}
    return {title: {name: getattr(result, name) for name in SCORES} for title, result in results.items()}


def _parts(count: int) -> Iterator[range]:
    for start in range(0, count, BATCH):
        yield range(start, min(start + BATCH, count))


def _colored(images: Tensor) -> Tensor:
    return images.float().expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3].float()
