"""Features of single positions of an image, projected for comparison (Park et al. 2020, arXiv 2007.15651)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from i2i.nets.registry import Network


def rows_at(features: Tensor, positions: Tensor) -> Tensor:
    """Features [B, C, H, W] at `positions` int64 [P], indices into H * W -> rows [B * P, C], image after image."""
    return features.flatten(2)[:, :, positions].transpose(1, 2).flatten(0, 1)


def unit_rows(rows: Tensor) -> Tensor:
    """Rows [N, C] divided by their length (plus 1e-7)."""
    return rows / (rows.norm(dim=1, keepdim=True) + 1e-7)


class PatchHeads(Network):
    """A two-layer perceptron for each of several feature maps: features at some positions -> rows of length 1.

    widths: channels of the feature maps. dim: numbers in a row. The names of its tensors are those of the authors'
    net_F."""

    def __init__(self, widths: Sequence[int], dim: int = 256) -> None:
        super().__init__()
        for i, width in enumerate(widths):
            self.add_module(f"mlp_{i}", nn.Sequential(nn.Linear(width, dim), nn.ReLU(), nn.Linear(dim, dim)))

    def forward(self, features: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
        """For each layer i: features [B, C_i, H_i, W_i] and positions int64 [P_i] -> rows [B * P_i, dim]."""
        heads = self.children()
        return [unit_rows(head(rows_at(f, p))) for head, f, p in zip(heads, features, positions, strict=True)]
