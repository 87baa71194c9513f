"""Which metrics an evaluation computes."""

from __future__ import annotations

from collections.abc import Sequence

from i2i.core.errors import I2IError, nearest
from i2i.metrics.feature_networks import FeatureNetwork

PIXEL = ("l1", "psnr", "ssim")  # of each translation and its true image, fast
LUMA = ("psnr_y", "ssim_y")  # of their luma, without a border: the numbers of super-resolution
COLOR = ("ab_l1", "ab_psnr", "colorfulness")  # of their colors alone, and how colorful each is: of colorization
PAIRED = (*PIXEL, *LUMA, *COLOR, "ms_ssim", "lpips", "dists")  # of each translation and its true image
OVERLAP = ("precision", "recall", "density", "coverage")
SETS = ("fd", "kid", "mind", *OVERLAP)  # of all translations and all true images
ANSWERS = ("diversity",)  # of several answers for one image
GENERATED = ("is", "labels")  # of samples alone: Inception score, share of asked classes
GROUPS = {"prdc": OVERLAP, "pixel": PIXEL, "y": LUMA, "color": COLOR, "fid": ("fd", "fid")}
NOT_INCEPTION = ("effnet", "alex", "vgg")  # a file is known only when it is read, see `check_network`
# dists needs weights that do not ship with i2i, so it is computed on request only
DEFAULT = (*PIXEL, "ms_ssim", "lpips", *SETS, *ANSWERS)
TITLES = {
    "l1": "L1",
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "psnr_y": "PSNR-Y dB",
    "ssim_y": "SSIM-Y",
    "ab_l1": "L1 of ab",
    "ab_psnr": "PSNR of ab dB",
    "colorfulness": "colorfulness",
    "ms_ssim": "MS-SSIM",
    "lpips": "LPIPS",
    "dists": "DISTS",
    "fid": "FID",
    "kid": "KID x 1000",
    "mind": "MIND",
    "is": "IS",
    "labels": "asked labels",
    "diversity": "diversity",
}
BY_NETWORK = {"fd_": "FD", "is_": "IS"}  # start of a name that ends with the network -> title
HIGHER_IS_BETTER = ("psnr", "ssim", "ab_psnr", *LUMA, "ms_ssim", *OVERLAP, *GENERATED, *ANSWERS)


def title(metric: str) -> str:
    """The name of a metric in tables: FID, FD (effnet), IS (effnet), LPIPS, ..."""
    if metric[:3] in BY_NETWORK:
        return f"{BY_NETWORK[metric[:3]]} ({metric[3:]})"
    return TITLES.get(metric, metric)


def has_best(metric: str) -> bool:
    """Whether a lower or a higher score is the better one; the best colorfulness is that of the real images."""
    return metric != "colorfulness"


def higher_is_better(metric: str) -> bool:
    """Whether a higher score is a better one."""
    return metric in HIGHER_IS_BETTER or metric.startswith("is_")


def choose(
    metrics: Sequence[str] | str | None, network: str, scale: int = 1, colorizes: bool = False
) -> tuple[str, ...]:
    """The metrics to compute, without groups; None: all that need nothing to be downloaded.

    scale: of the model; the metrics of super-resolution belong to those of models that enlarge. colorizes: the model
    colors images, and the metrics of color belong to those.
    metrics: names, or one text with commas. network: the name of the feature network. Raises I2IError for an unknown
    name, and for FID on another network than Inception."""
    if metrics is None:
        return (*PIXEL, *(LUMA if scale > 1 else ()), *(COLOR if colorizes else ()), *DEFAULT[len(PIXEL) :])
    names = [
        name.strip().lower().replace("-", "_")
        for m in ([metrics] if isinstance(metrics, str) else metrics)
        for name in m.split(",")
    ]
    if "fid" in names and network in NOT_INCEPTION:
        raise _no_fid(network)
    known = [*PAIRED, *SETS, *GENERATED, *ANSWERS, *GROUPS]
    chosen: list[str] = []
    for name in filter(None, names):
        if name not in known:
            raise I2IError(f"No metric is called {name!r}.", nearest(name, known))
        chosen += GROUPS.get(name, (name,))
    if not chosen:
        raise I2IError("No metric is named.", f"Known: {', '.join(known)}.")
    return tuple(dict.fromkeys(chosen))


def check_network(metrics: Sequence[str], network: FeatureNetwork) -> None:
    """Raises I2IError if a metric was asked for that the network which was loaded cannot give.

    FID is a distance on the Inception of papers; the Inception score needs a network that classifies."""
    if "fid" in metrics and network.frechet_name != "fid":
        raise _no_fid(network.name)
    if "is" in metrics and not network.classifies:
        raise I2IError(
            f"The Inception score needs a network that classifies images, but {network.name} gives features alone.",
            "Leave is out, or name a classifier: --features effnet, inception, torchvision:NAME or timm:NAME.",
        )


def _no_fid(network: str) -> I2IError:
    return I2IError(
        f"FID is a distance on the Inception network, but the feature network is {network}.",
        "--metrics fid --features inception, or --metrics fd for the Frechet distance on this network.",
    )
