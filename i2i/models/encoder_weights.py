"""First weights of a ResNet encoder: those of a classifier, from a file or from torchvision."""

from __future__ import annotations

from pathlib import Path

from i2i.core.errors import I2IError
from i2i.models import pth
from i2i.models.feature_weights import torchvision_classifier
from i2i.nets.resnet_encoder import ResNetEncoder
from i2i.nets.valueless import with_values

TORCHVISION = "torchvision"


def fill(encoder: ResNetEncoder, name: str, source: str) -> None:
    """Gives an encoder called `name` (of ENCODERS) the weights of a classifier trained on ImageNet.

    source: "torchvision", which downloads them once, or a file with torchvision's names. Raises I2IError if there is no
    such file, if they cannot be downloaded, or if they are those of another network."""
    if source == TORCHVISION:
        try:
            with with_values():
                state = torchvision_classifier(name).state_dict()
        except I2IError as error:
            raise I2IError(error.what, "Or give a file with torchvision's names: --set encoder_weights=FILE.") from None
        encoder.load_classifier(state, f"torchvision's {name}")
        return
    path = Path(source).expanduser()
    if not path.is_file():
        raise I2IError(
            f"encoder_weights is {source!r}. There is no such file.",
            f"Give a file with torchvision's names, or {TORCHVISION} (downloads it once).",
        )
    with with_values():
        state = pth.repair(pth.read(path))
    encoder.load_classifier(state, str(path))
