"""Scores of translations beside their true images, image by image, and how sure their means are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from i2i.core.progress import Progress
from i2i.inference import metric_choice
from i2i.metrics import intervals, ms_ssim, pixel
from i2i.metrics.color import color_scores
from i2i.metrics.perceptual import LPIPS
from i2i.models import feature_weights

Values = dict[str, list[Tensor]]  # per metric: the scores of batches of images, each [B]


class View:
    """An image [C, H, W] in [-1, 1] that is compared with others: its features are computed once, when first needed."""

    def __init__(self, image: Tensor, device: torch.device) -> None:
        self.image = image[None]
        self.device = device
        self._features: list[Tensor] | None = None

    def colors(self) -> Tensor:
        """The image as RGB [1, 3, H, W] on the device of the networks."""
        return self.image.to(self.device).expand(-1, 3, -1, -1)

    def features(self, lpips: LPIPS) -> list[Tensor]:
        """What LPIPS compares."""
        if self._features is None:
            self._features = lpips.features(self.colors())
        return self._features


class PairMetrics:
    """The chosen metrics of pairs, with their networks loaded once.

    metrics: of metric_choice.PAIRED; others are left out. device: where LPIPS and DISTS run. scale: of the model, which
    is also the border that psnr_y and ssim_y leave out, if it is above 1."""

    def __init__(
        self, metrics: Sequence[str], device: torch.device, progress: Progress | None = None, scale: int = 1
    ) -> None:
        self.border = scale if scale > 1 else 0
        self.metrics = [m for m in metric_choice.PAIRED if m in metrics]
        self.device = device
        self.lpips = feature_weights.lpips("alex", device) if "lpips" in self.metrics else None
        self.dists = feature_weights.dists(device, progress) if "dists" in self.metrics else None

    def view(self, image: Tensor) -> View:
        """The image [C, H, W] for comparisons with several others."""
        return View(image, self.device)

    @torch.inference_mode()
    def __call__(self, fake: View, real: View, only: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{metric: [1]} of two images of one shape; a metric is left out if the images are too small for it.

        only: these of the chosen metrics; None: all."""
        wanted = [m for m in self.metrics if only is None or m in only]
        values: dict[str, Tensor] = {}
        if set(wanted) & set(metric_choice.PIXEL):
            values = {k: v for k, v in pixel.scores(fake.image, real.image).items() if k in wanted}
        if set(wanted) & set(metric_choice.LUMA):
            found = pixel.luma_scores(fake.image, real.image, self.border)
            values |= {k: v for k, v in found.items() if k in wanted}
        _, channels, *sides = fake.image.shape
        if set(wanted) & set(metric_choice.COLOR) and channels == 3:
            values |= {k: v for k, v in color_scores(fake.image, real.image).items() if k in wanted}
        if "ms_ssim" in wanted and ms_ssim.scales_for(*sides):
            values["ms_ssim"] = ms_ssim.ms_ssim(fake.image, real.image).float()
        if channels not in (1, 3):
            return values
        if self.lpips is not None and "lpips" in wanted and min(sides) >= self.lpips.trunk.least:
            distance = self.lpips.between(fake.features(self.lpips), real.features(self.lpips))
            values["lpips"] = distance.sum(1).float().cpu()
        if self.dists is not None and "dists" in wanted and min(sides) >= self.dists.trunk.least:
            values["dists"] = self.dists(fake.colors(), real.colors()).float().cpu()
        return values


def summary(values: Values, count: int, seed: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    """The mean of each metric, and its 95 % interval; only metrics with a value for each of the `count` images.

    Rows over different images could not be compared."""
    complete = {name: torch.cat(parts) for name, parts in values.items() if sum(map(len, parts)) == count}
    means = {name: float(v.mean()) for name, v in complete.items()}
    spread = {
        name: list(intervals.mean_interval(v, seed=seed))
        for name, v in complete.items()
        if count > 1 and v.isfinite().all()
    }
    return means, spread
