"""Losses: pure functions of tensors to a scalar. Weights are written where they are summed, in the methods."""

from i2i.losses.adversarial import (
    Adversarial,
    bce,
    hinge,
    least_squares,
    lsgan,
    minimax,
    relativistic,
    smooth_targets,
    vanilla,
    wasserstein,
)
from i2i.losses.features import feature_matching, over_scales
from i2i.losses.information import attributes, category, gaussian_nll, kl_normal
from i2i.losses.penalties import gradient_penalty, input_gradient, r1
from i2i.losses.reconstruction import l1, map_distances, mse
from i2i.losses.regularization import gradient_normalized, orthogonal

__all__ = [
    "Adversarial",
    "attributes",
    "bce",
    "category",
    "feature_matching",
    "gaussian_nll",
    "gradient_normalized",
    "gradient_penalty",
    "hinge",
    "input_gradient",
    "kl_normal",
    "l1",
    "least_squares",
    "lsgan",
    "map_distances",
    "minimax",
    "mse",
    "orthogonal",
    "over_scales",
    "r1",
    "relativistic",
    "smooth_targets",
    "vanilla",
    "wasserstein",
]
