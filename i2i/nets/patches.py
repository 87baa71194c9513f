"""Features of single places of an image, projected for comparison (Park et al. 2020, arXiv 2007.15651)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from i2i.nets.registry import Network


def rows_at(features: Tensor, places: Tensor) -> Tensor:
    """[B, C, H, W] at `places` int64 [P], indices into H * W -> [B * P, C], image after image."""
    return features.flatten(2)[:, :, places].transpose(1, 2).flatten(0, 1)


def unit_rows(rows: Tensor) -> Tensor:
    """Rows [N, C] divided by their length (plus 1e-7)."""
    return rows / (rows.norm(dim=1, keepdim=True) + 1e-7)


class PatchHeads(Network):
    """A perceptron of two layers for each tapped layer of `widths` channels: patches -> rows of length 1 [B * P, dim].

    The names of its tensors are those of the authors' net_F."""

    def __init__(self, widths: Sequence[int], dim: int = 256) -> None:
        super().__init__()
        for i, width in enumerate(widths):
            self.add_module(f"mlp_{i}", nn.Sequential(nn.Linear(width, dim), nn.ReLU(), nn.Linear(dim, dim)))

    def forward(self, features: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """One [B, C_i, H_i, W_i] and one int64 [P_i] a layer -> one [B * P_i, dim] a layer."""
        heads = self.children()
        return [unit_rows(head(rows_at(f, p))) for head, f, p in zip(heads, features, places, strict=True)]
