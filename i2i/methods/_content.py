"""The content loss of a method, outside of its networks: it is not trained, and is in no checkpoint or saved model."""

from __future__ import annotations

import torch
from torch import Tensor

from i2i.core.errors import I2IError
from i2i.metrics.content import ContentLoss
from i2i.models import feature_weights
from i2i.nets.valueless import with_values


class Content:
    """Calls a `ContentLoss` on the device and in the numbers of the images.

    name: see `feature_weights.content`; none: the loss is 0 everywhere. size: side of the training crops. Raises
    I2IError for an unknown name, for weights that are missing, and if the crops are too small for the network."""

    def __init__(self, name: str, size: int) -> None:
        with with_values(), torch.device("cpu"):  # also where networks are made without values, to count their cost
            self.loss = None if name == "none" else feature_weights.content(name)
        if self.loss is not None and size < self.loss.least:
            raise I2IError(
                f"content is {name}, and size is {size} pixels.",
                f"That network needs at least {self.loss.least}. Choose a larger size, or content=none.",
            )

    @property
    def least(self) -> int:
        """The smallest side of images in pixels that the network takes."""
        return 0 if self.loss is None else self.loss.least

    def __bool__(self) -> bool:
        return self.loss is not None

    def __call__(self, fake: Tensor, real: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] twice -> a scalar."""
        if self.loss is None:
            return fake.new_zeros(())
        return self.moved(self.loss, real)(fake.to(real.dtype), real)

    @staticmethod
    def moved(loss: ContentLoss, like: Tensor) -> ContentLoss:
        """`loss` on the device and in the type of `like`. Only the first step moves it: a walk over all weights."""
        mean = loss.get_buffer("mean")
        return loss if (mean.device, mean.dtype) == (like.device, like.dtype) else loss.to(like)
