"""Feature networks by name or file, with their weights: shipped, on this disk, or downloaded once."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from i2i.core.errors import I2IError, nearest
from i2i.core.optional import require
from i2i.core.progress import Progress
from i2i.data import weight_file
from i2i.metrics import feature_networks, weights
from i2i.metrics.content import ContentLoss
from i2i.metrics.feature_networks import FeatureNetwork, vgg_state
from i2i.metrics.perceptual import DISTS, LPIPS
from i2i.models import pth

INCEPTION = "inception"
SHIPPED_FILES = {"effnet": weights.EFFNET_LITE0, "alex": weights.LPIPS_ALEX}
# Weights that only this network has, by the names here or in torchvision. AlexNet's are asked for last.
KEYS = {"vgg16": "conv12.weight", "effnet": "_conv_stem.weight", "alex": "conv4.weight"}


@dataclass(frozen=True)
class WeightCard:
    """Weights by others. files: names under which they may lie in a folder; most: bytes that a download may have."""

    url: str
    files: tuple[str, ...]
    most: int
    terms: str


CARDS = {
    INCEPTION: WeightCard(
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        (
            "pt_inception-2015-12-05-6726825d.pth",
            "weights-inception-2015-12-05-6726825d.pth",
            "inception-2015-12-05.pt",
        ),
        120_000_000,
        "Inception-v3 of TensorFlow (Apache-2.0), as ported by pytorch-fid",
    ),
    "vgg": WeightCard(
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        ("vgg16-397923af.pth", "lpips_vgg.safetensors"),
        600_000_000,
        "VGG16 of torchvision (BSD-3-Clause)",
    ),
    "lpips_vgg_heads": WeightCard(
        "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/vgg.pth",
        ("lpips_vgg.safetensors", "lpips_vgg_heads.pth"),
        1_000_000,
        "heads of LPIPS 0.1 on VGG16 (BSD-2-Clause)",
    ),
    "dists": WeightCard(
        "https://raw.githubusercontent.com/dingkeyan93/DISTS/master/DISTS_pytorch/weights.pt",
        ("dists.safetensors", "dists_weights.pt"),
        1_000_000,
        "weights of DISTS (MIT)",
    ),
}


def find(name: str, device: str | torch.device = "cpu", progress: Progress | None = None) -> FeatureNetwork:
    """The feature network that `name` says, ready on `device`.

    name: effnet or alex (shipped); inception or vgg (see CARDS); torchvision:NAME or timm:NAME (weights of that
    library's host); or a file: a state dict that is recognized by its keys, or a TorchScript module, **whose code is
    run**. Raises I2IError if there is no such network, or its weights cannot be downloaded."""
    library, _, model = name.partition(":")
    known = feature_networks.ALIASES.get(name, name)
    if library == "torchvision" and model:
        return _torchvision(model, device)
    if library == "timm" and model:
        return _timm(model, device)
    if known in feature_networks.SHIPPED:
        return feature_networks.named(known, device)
    if known in feature_networks.FROM_FILE:
        return _of_file(get(known, progress), device)
    path = Path(name).expanduser()
    if path.is_file():
        return _of_file(path, device)
    names = [*feature_networks.SHIPPED, *feature_networks.FROM_FILE, "torchvision:NAME", "timm:NAME", "a file"]
    raise I2IError(f"No feature network is called {name!r}, and there is no such file.", nearest(name, names))


def is_here(name: str) -> bool:
    """Whether the weights with a card are on this disk."""
    return weight_file.here(CARDS[name].files) is not None


def get(name: str, progress: Progress | None = None) -> Path:
    """The file of the weights with a card, downloaded if it is nowhere yet. Raises I2IError if that fails."""
    card = CARDS[name]
    try:
        return weight_file.get(card.files, card.url, card.most, progress)
    except I2IError as error:
        hint = f"Or put {card.files[0]} into a folder and name it: I2I_WEIGHTS=FOLDER."
        raise I2IError(
            f"The weights are missing ({card.terms}). {error.what}", f"{error.hint} {hint}".strip()
        ) from None


def lpips(network: str = "alex", device: str | torch.device = "cpu", progress: Progress | None = None) -> LPIPS:
    """LPIPS on AlexNet (shipped) or on VGG16 (network="vgg", downloaded). Raises I2IError for another network."""
    if network == "alex":
        return LPIPS(weights.read(weights.LPIPS_ALEX)).to(device)
    if network != "vgg":
        raise I2IError(f"LPIPS on {network!r} does not exist.", "Allowed: alex, vgg.")
    state = _state(get("lpips_vgg_heads", progress))
    if "conv0.weight" not in state:  # the authors' file holds the heads alone
        heads = {f"lin{i}.weight": state[f"lin{i}.model.1.weight"] for i in range(5)}
        state = {**vgg_state(_state(get("vgg", progress))), **heads}
    return LPIPS(state).to(device)


def content(name: str) -> ContentLoss:
    """The content loss of the network `name`: effnet or alex (shipped), vgg16 (downloaded once), or a file of weights.

    Raises I2IError if there is no such network or file, or its weights cannot be downloaded."""
    known = feature_networks.ALIASES.get(name, name)
    if known in SHIPPED_FILES:
        return ContentLoss(known, weights.read(SHIPPED_FILES[known]))
    path = get("vgg") if known == "vgg" else Path(name).expanduser()
    if not path.is_file():
        names = ["none", "vgg16", *SHIPPED_FILES, "a file of weights"]
        raise I2IError(f"content is {name!r}, which is no network and no file.", nearest(name, names))
    state = _state(path)
    state = dict(vgg_state(state)) if "features.28.weight" in state else state
    for title, key in KEYS.items():
        if key in state:
            return ContentLoss(title, state)
    raise I2IError(f"{path} does not hold weights of VGG16, AlexNet or EfficientNet-Lite0.", "Give another content.")


def dists(device: str | torch.device = "cpu", progress: Progress | None = None) -> DISTS:
    """DISTS; VGG16 and its weights are downloaded once."""
    trunk = vgg_state(_state(get("vgg", progress)))
    return DISTS({**trunk, **_state(get("dists", progress))}).to(device)


def _state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file by name, as 32-bit numbers."""
    return weights.read(path) if path.suffix == ".safetensors" else pth.repair(pth.read(path))


def _of_file(path: Path, device: str | torch.device) -> FeatureNetwork:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            is_script = any(name.partition("/")[2].startswith("code/") for name in archive.namelist())
        if is_script:
            return feature_networks.script(torch.jit.load(str(path), map_location="cpu"), path.stem, device)
    try:
        return feature_networks.recognize(_state(path), device)
    except I2IError as error:
        raise I2IError(f"{path}: {error.what}", error.hint) from None


def torchvision_classifier(name: str) -> nn.Module:
    """A classifier of torchvision with its weights, downloaded once. Raises I2IError if it does not exist, or if they
    cannot be downloaded."""
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise I2IError(f"torchvision has no model called {name!r}.", nearest(name, known))
    try:
        return cast(nn.Module, models.get_model(name, weights="DEFAULT"))
    except (OSError, RuntimeError) as error:
        raise I2IError(
            f"The weights of torchvision:{name} cannot be downloaded: {error}", "Check the network."
        ) from None


def _torchvision(name: str, device: str | torch.device) -> FeatureNetwork:
    size = 299 if name == "inception_v3" else 224
    return feature_networks.classifier(f"torchvision_{name}", torchvision_classifier(name), size, device)


def _timm(name: str, device: str | torch.device) -> FeatureNetwork:
    timm = require("timm", "features", "networks of timm")
    if name.split(".")[0] not in timm.list_models():
        raise I2IError(f"timm has no model called {name!r}.", nearest(name, timm.list_models()))
    try:
        net = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError) as error:
        raise I2IError(f"The weights of timm:{name} cannot be downloaded: {error}", "Check the network.") from None
    size = timm.data.resolve_model_data_config(net)["input_size"][-1]
    return feature_networks.classifier(f"timm_{name}", net, size, device)
