"""The small digit classifier that judges what generators make."""

from torch import Tensor, nn
from torch.nn import functional as F


class Classifier(nn.Module):
    """Three convolutions 3x3, each halved by maxima, and two dense layers; for digits of 28 pixels in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2, self.c3 = nn.Conv2d(1, 16, 3, 1, 1), nn.Conv2d(16, 32, 3, 1, 1), nn.Conv2d(32, 32, 3, 1, 1)
        self.f1, self.f2 = nn.Linear(288, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, 1, 28, 28] -> logits [B, 10] and the features before them [B, 64]."""
        for layer in (self.c1, self.c2, self.c3):
            x = F.max_pool2d(layer(x).relu(), 2)
        inner = self.f1(x.flatten(1)).relu()
        return self.f2(inner), inner
