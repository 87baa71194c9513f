"""FCN score: how well a segmenter recognizes in a translation what the true label map says (Isola et al. 2017).

A confusion matrix is summed over all images before ratios are computed; a mean of scores per image is another number.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from i2i.core.errors import I2IError


@dataclass(frozen=True)
class SegmentationScore:
    """Shares in [0, 1]; higher is better. Per class: NaN for a class that does not occur, unless it counts as 0."""

    pixel_accuracy: float
    class_accuracy: float  # mean over classes
    mean_iou: float  # mean over classes of intersection over union
    per_class_accuracy: Tensor  # [K], float64
    per_class_iou: Tensor  # [K], float64


def confusion_matrix(true: Tensor, predicted: Tensor, classes: int, ignore: int = -1) -> Tensor:
    """Counts [K, K] of pixels by true class (row) and predicted class (column), int64.

    true, predicted: integer labels of one shape. Pixels whose true label is `ignore`, or no class at all, are left out.
    Raises I2IError if the shapes differ, or if a predicted label of a counted pixel is no class."""
    if true.shape != predicted.shape:
        raise I2IError(f"Label maps of shapes {list(true.shape)} and {list(predicted.shape)} cannot be compared.")
    counted = (true != ignore) & (true >= 0) & (true < classes)
    true, predicted = true[counted].long(), predicted[counted].long()
    if predicted.numel() and not 0 <= int(predicted.min()) <= int(predicted.max()) < classes:
        raise I2IError(f"A predicted label lies outside 0 to {classes - 1}.", f"There are {classes} classes.")
    return torch.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)


def segmentation_score(confusion: Tensor, absent_is_zero: bool = False) -> SegmentationScore:
    """The scores of a confusion matrix [K, K].

    absent_is_zero: a class without pixels counts as 0 in the means, as in the code of the pix2pix paper; else it is
    left out of them. Say which of the two you report. Raises I2IError if no pixel was counted."""
    h = confusion.double()
    if not h.sum() > 0:
        raise I2IError("No pixel has a true label, so there is nothing to score.")
    small = 1e-12 if absent_is_zero else 0.0
    hits = h.diagonal()
    accuracy = hits / (h.sum(1) + small)
    iou = hits / (h.sum(1) + h.sum(0) - hits + small)
    return SegmentationScore(
        pixel_accuracy=float(hits.sum() / (h.sum() + small)),
        class_accuracy=float(accuracy.nanmean()),
        mean_iou=float(iou.nanmean()),
        per_class_accuracy=accuracy,
        per_class_iou=iou,
    )
