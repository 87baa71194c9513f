"""Names of normalized weights: torch's old form, in which golden cases are stored, and its new one, which is ours."""

from __future__ import annotations

from collections.abc import Container

SPECTRAL = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0.u",
    "weight_v": "parametrizations.weight.0.v",
}
WEIGHT_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}


def ours(name: str, weight_normed: Container[str] = ()) -> str:
    """Our name of a stored weight. weight_normed: names of those under weight normalization."""
    layer, _, leaf = name.rpartition(".")
    return f"{layer}.{(WEIGHT_NORM if name in weight_normed else SPECTRAL).get(leaf, leaf)}"


def theirs(name: str) -> str:
    """The stored name of one of our weights."""
    for leaf, long in (*WEIGHT_NORM.items(), *SPECTRAL.items()):
        if name.endswith(f".{long}"):
            return f"{name.removesuffix(long)}{leaf}"
    return name
