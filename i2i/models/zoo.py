"""Models by name: models that come with i2i, and weights by the authors of pix2pix, CycleGAN and Real-ESRGAN.

A shipped model is models/NAME.safetensors, beside its card NAME.yaml and an image of what it makes. The weights of the
authors are pickled state dicts on their host. `get` downloads such a file once, reads it with weights-only loading,
recognizes its network from keys and shapes, and keeps it as a model file of i2i in the cache folder. Environment
variables: I2I_CACHE moves the cache folder, I2I_MODELS_URL replaces the host by a mirror with the same paths.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from i2i.core import resources
from i2i.core.errors import I2IError, nearest
from i2i.core.files import sha256_of
from i2i.core.progress import Progress
from i2i.core.suggest import same_name

HOST = "efrosgans.eecs.berkeley.edu"
BASE = f"https://{HOST}"
TERMS = (
    "Published by the papers' authors beside their code (BSD licence), without terms of their own for the weights; "
    "the terms of the training images apply."
)
PAPERS = {
    "cyclegan": "Zhu et al. 2017, Unpaired Image-to-Image Translation, arXiv:1703.10593",
    "pix2pix": "Isola et al. 2017, Image-to-Image Translation with Conditional Adversarial Networks, arXiv:1611.07004",
}
LARGEST = {"cyclegan": 100_000_000, "pix2pix": 500_000_000}  # bytes: twice the 32-bit weights of these networks
FOLDERS = {"cyclegan": "cyclegan/pretrained_models", "pix2pix": "pix2pix/models-pytorch"}


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model before it is downloaded."""

    name: str
    method: str
    reads: str  # what its input shows
    makes: str  # what its output shows
    data: str  # the data set it was trained on
    note: str  # terms of use
    path: str  # on the authors' host; empty for a shipped model
    paper: str
    network: str
    sha256: str = ""  # of the authors' file; they published none, so the header records that of what was downloaded
    largest: int = 0  # bytes that a download may have at most
    size: int = 256  # pixels, side of the training crops
    figures: str = ""  # scores on test images
    examples: str = ""  # data set that comes with i2i and shows what it reads (side A), if its own data is another one
    kind: str = "translate"  # translate, or generate: images from noise
    base: str = BASE  # the authors' host; empty for a shipped model
    scale: int = 1  # sides of an output divided by those of its input

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the file may be, in the order to try; empty for a shipped model."""
        if not self.path:
            return ()
        base = os.environ.get("I2I_MODELS_URL") or self.base
        return (f"{base.rstrip('/')}/{self.path}",)


CITYSCAPES = "Cityscapes images: for non-commercial use only."
MAPS = "Images from Google Maps: its terms apply."
PHOTOS = "Photographs from Flickr and Wikimedia Commons or ImageNet: each has its owner's terms."
FACADES = "CMP facade database: for research."
ROWS = {
    "cyclegan": (
        ("apple2orange", "apples", "oranges", "apple2orange", PHOTOS),
        ("orange2apple", "oranges", "apples", "apple2orange", PHOTOS),
        ("summer2winter_yosemite", "summer landscapes", "winter landscapes", "summer2winter_yosemite", PHOTOS),
        ("winter2summer_yosemite", "winter landscapes", "summer landscapes", "summer2winter_yosemite", PHOTOS),
        ("horse2zebra", "horses", "zebras", "horse2zebra", PHOTOS),
        ("zebra2horse", "zebras", "horses", "horse2zebra", PHOTOS),
        ("monet2photo", "paintings by Monet", "photographs", "monet2photo", PHOTOS),
        ("style_monet", "photographs", "paintings like Monet's", "monet2photo", PHOTOS),
        ("style_cezanne", "photographs", "paintings like Cezanne's", "cezanne2photo", PHOTOS),
        ("style_ukiyoe", "photographs", "Japanese prints (ukiyo-e)", "ukiyoe2photo", PHOTOS),
        ("style_vangogh", "photographs", "paintings like Van Gogh's", "vangogh2photo", PHOTOS),
        ("sat2map", "aerial photographs", "street maps", "maps", MAPS),
        ("map2sat", "street maps", "aerial photographs", "maps", MAPS),
        ("cityscapes_photo2label", "street scenes", "label maps", "cityscapes", CITYSCAPES),
        ("cityscapes_label2photo", "label maps", "street scenes", "cityscapes", CITYSCAPES),
        ("facades_photo2label", "building fronts", "label maps", "facades", FACADES),
        ("facades_label2photo", "label maps", "building fronts", "facades", FACADES),
        ("iphone2dslr_flower", "flowers taken by phone", "flowers with a shallow focus", "iphone2dslr_flower", PHOTOS),
    ),
    "pix2pix": (
        ("edges2shoes", "edge drawings", "shoes", "edges2shoes", "UT Zappos50K images: for academic use only."),
        ("sat2map", "aerial photographs", "street maps", "maps", MAPS),
        ("map2sat", "street maps", "aerial photographs", "maps", MAPS),
        ("facades_label2photo", "label maps", "building fronts", "facades", FACADES),
        ("day2night", "scenes by day", "scenes by night", "night2day", "Transient Attributes data: for research."),
    ),
}
NETWORKS = {
    "cyclegan": "ResNet generator, 9 blocks, width 64, instance norm",
    "pix2pix": "U-Net of depth 8, width 64, batch norm with each image's own statistics; dropout left off",
}
CARDS = {
    f"{method}_{name}": ModelCard(
        name=f"{method}_{name}",
        method=method,
        reads=reads,
        makes=makes,
        data=data,
        note=f"{terms} {TERMS}",
        path=f"{FOLDERS[method]}/{name}.pth",
        paper=PAPERS[method],
        network=NETWORKS[method],
        largest=LARGEST[method],
    )
    for method, rows in ROWS.items()
    for name, reads, makes, data, terms in rows
}

ENLARGED = (  # name, reads, file, release, blocks, scale, SHA-256 of the authors' file
    (
        "realesrgan_x4",
        "photographs",
        "RealESRGAN_x4plus",
        "v0.1.0",
        23,
        4,
        "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
    ),
    (
        "realesrgan_x4_anime",
        "drawings and anime",
        "RealESRGAN_x4plus_anime_6B",
        "v0.2.2.4",
        6,
        4,
        "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
    ),
    (
        "realesrgan_x2",
        "photographs",
        "RealESRGAN_x2plus",
        "v0.2.1",
        23,
        2,
        "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
    ),
)
CARDS |= {
    name: ModelCard(
        name=name,
        method="esrgan",
        reads=reads,
        makes=f"the same, {scale} times larger and without noise, blur and JPEG's traces",
        data="DIV2K, Flickr2K and OutdoorSceneTraining" if blocks == 23 else "anime illustrations",
        note="Published by the authors with their code (BSD-3-Clause).",
        path=f"xinntao/Real-ESRGAN/releases/download/{release}/{file}.pth",
        paper="Wang et al. 2021, Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data, "
        "arXiv:2107.10833",
        network=f"RRDBNet, {blocks} blocks, width 64",
        sha256=sha256,
        largest=200_000_000,
        base="https://github.com",
        scale=scale,
    )
    for name, reads, file, release, blocks, scale, sha256 in ENLARGED
}


def shipped() -> Path:
    """The folder of the models that come with i2i."""
    return resources.shipped("models")


def names(kind: str = "") -> list[str]:
    """The names of all models, sorted. kind: only those that `translate`, or only those that `generate`."""
    every = sorted([*CARDS, *(p.stem for p in shipped().glob("*.yaml"))])
    return [name for name in every if card(name).kind == kind] if kind else every


def card(name: str) -> ModelCard:
    """The card of a model, whose name may be in any case, with - or _. Raises I2IError for an unknown name."""
    name = same_name(name, names()) or name
    if name in CARDS:
        return CARDS[name]
    if name not in names():
        raise I2IError(f"No model is called {name!r}.", nearest(name, names()))
    values = yaml.safe_load((shipped() / f"{name}.yaml").read_text(encoding="utf-8"))
    return ModelCard(name=name, path="", base="", **values)


def path_of(name: str) -> Path:
    """Where the file of a model is, or will be after its download."""
    path = shipped() / f"{name}.safetensors"
    return path if path.is_file() else cache() / f"{name}.safetensors"


def cache() -> Path:
    """The folder of downloaded models."""
    return resources.cache_folder() / "models"


def get(name: str, progress: Progress | None = None) -> Path:
    """The file of a model; if it is not on this disk, it is downloaded and converted.

    progress: called as progress(bytes so far, bytes in all or 0). Raises I2IError if the name is unknown, no address
    answers, or the downloaded file does not hold the published network."""
    model = card(name)
    name = model.name
    path = path_of(name)
    if path.is_file():
        return path
    from i2i.data import download

    pth_path = path.with_name(f"{name}.pth")
    with download.locked(path):
        if path.is_file():  # another process has downloaded it meanwhile
            return path
        record = path.with_name(f".{name}.sha256")
        download.fetch(model.addresses, pth_path, model.sha256 or None, None, progress, model.largest or None, record)
        try:
            _convert(model, pth_path, path)
            if not model.sha256:
                download.remember(record, pth_path, f"the model {name}")
            return path
        except I2IError as error:
            raise I2IError(
                f"The file downloaded for {name} is not the published network. {error.what}",
                "Try again later, or set the environment variable I2I_MODELS_URL to a mirror.",
            ) from error
        finally:
            pth_path.unlink(missing_ok=True)


def _convert(model: ModelCard, pth_path: Path, path: Path) -> Path:
    """Writes the authors' file `pth_path` as a model file of i2i to `path`."""
    from i2i import nets
    from i2i.models import format as model_file
    from i2i.models import pth

    network = pth.load_pth(pth_path)
    arguments = nets.network_arguments(network)
    header = {
        "method": model.method,
        "recipe": model.name,
        "data": [model.data],
        "channels_in": arguments.get("channels_in", 3),
        "channels_out": arguments.get("channels_out", 3),
        "size": model.size,
        "range": [-1, 1],
        "scale": model.scale,
        "train_mode_norm": model.method == "pix2pix",
        "dropout_at_test": False,
        "licence": model.note,
        "source": model.addresses[0],
        "source_sha256": sha256_of(pth_path),
    }
    return model_file.save(path, {"G": network}, header)
