"""Scores of translations beside their true images, image by image, and how sure their means are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from i2i.core.progress import Progress
from i2i.inference import metric_choice
from i2i.metrics import intervals, ms_ssim, pixel
from i2i.metrics.perceptual import DISTS, LPIPS
from i2i.models import feature_weights

Values = dict[str, list[Tensor]]  # per metric: the scores of batches of images, each [B]


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
        self.networks: dict[str, LPIPS | DISTS] = {}
        if "lpips" in self.metrics:
            self.networks["lpips"] = feature_weights.lpips("alex", device)
        if "dists" in self.metrics:
            self.networks["dists"] = feature_weights.dists(device, progress)

    @torch.inference_mode()
    def __call__(self, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """{metric: [B]} for images [B, C, H, W] in [-1, 1]; a metric is left out if the images are too small for it."""
        values: dict[str, Tensor] = {}
        if set(self.metrics) & set(metric_choice.PIXEL):
            values = {k: v for k, v in pixel.scores(fake, real).items() if k in self.metrics}
        if set(self.metrics) & set(metric_choice.LUMA):
            found = pixel.luma_scores(fake, real, self.border)
            values |= {k: v for k, v in found.items() if k in self.metrics}
        if "ms_ssim" in self.metrics and ms_ssim.scales_for(*fake.shape[2:]):
            values["ms_ssim"] = ms_ssim.ms_ssim(fake, real).float()
        for name, net in self.networks.items():
            if min(fake.shape[2:]) >= net.trunk.least and fake.shape[1] in (1, 3):
                colors = [x.to(self.device).expand(-1, 3, -1, -1) for x in (fake, real)]
                values[name] = net(*colors).float().cpu()
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
