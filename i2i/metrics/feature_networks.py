"""Networks by whose features sets of images are compared, each with its resize and its normalization.

A distance is a number of one network, one resize rule and one number of images: it is printed with all three. On
Inception ("fid" form) the Frechet distance is called FID; on any other network it is FD(network), never FID. The
Inception score likewise is IS on Inception alone, and IS(network) elsewhere.

name             features  what it is                                    where the weights are
effnet           1,280     EfficientNet-Lite0 on ImageNet                shipped
alex             256       AlexNet, last convolution, mean of positions  shipped
vgg              512       VGG16, last convolution, mean of positions    a file: conv0.weight, ..., or torchvision's
inception        2,048     Inception-v3 of 2015, as in papers            a file: pytorch-fid's, torch-fidelity's
inception_torchvision      torchvision's Inception-v3                    a file: torchvision's
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from i2i.core.errors import I2IError, nearest
from i2i.metrics import weights
from i2i.metrics.perceptual import IMAGENET_DEVIATION, IMAGENET_MEAN, LPIPS_DEVIATION, LPIPS_MEAN, load_exactly
from i2i.metrics.resize import resize
from i2i.nets.efficientnet import EfficientNetLite0
from i2i.nets.inception import LOGITS, SIZE, InceptionV3
from i2i.nets.trunks import VGG16, AlexNet

State = Mapping[str, Tensor]
# Images in one pass. On a CPU larger ones take longer: their maps are given back to the system after every layer.
BATCH, BATCH_CPU = 32, 4
# Of torchvision's VGG16, the numbers of its 13 convolutions.
TORCHVISION_VGG = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


@dataclass(frozen=True)
class SetFeatures:
    """What a network says of N images: features [N, D], and logits [N, K] if it classifies; on the CPU."""

    features: Tensor
    logits: Tensor | None

    @classmethod
    def joined(cls, parts: Sequence[SetFeatures]) -> SetFeatures:
        """All images of several parts, one or more, in their order."""
        logits = [part.logits for part in parts if part.logits is not None]
        return cls(torch.cat([part.features for part in parts]), torch.cat(logits) if logits else None)


@dataclass(frozen=True)
class FeatureNetwork:
    """A network with what stands in front of it.

    name: as printed beside numbers. rule: of `i2i.metrics.resize`. forward: images [B, 3, size, size] with levels 0 to
    255 -> (features [B, D], logits [B, K] or None)."""

    name: str
    size: int
    rule: str
    forward: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    device: torch.device
    classifies: bool = True  # False: it gives no logits

    @property
    def frechet_name(self) -> str:
        """What the Frechet distance on this network is called: FID, or fd_NAME."""
        return "fid" if self.name == "inception" else f"fd_{self.name}"

    @property
    def inception_score_name(self) -> str:
        """What the Inception score by this network's logits is called: is, or is_NAME."""
        return "is" if self.name == "inception" else f"is_{self.name}"

    @torch.inference_mode()
    def __call__(self, images: Iterable[Tensor], batch: int | None = None) -> SetFeatures:
        """The features of uint8 images [C, H, W] of any sizes; gray images are repeated to three channels.

        Only features are kept, so memory does not grow with the images. Raises I2IError if there is no image, or if an
        image has neither one nor three channels."""
        features: list[Tensor] = []
        logits: list[Tensor] = []
        for part in _batches(images, batch or (BATCH_CPU if self.device.type == "cpu" else BATCH)):
            resized = torch.stack([resize(_rgb(image), self.size, self.rule) for image in part])
            one, other = self.forward(resized.to(self.device))
            features.append(one.float().cpu())
            if other is not None:
                logits.append(other.float().cpu())
        if not features:
            raise I2IError("There is no image to take features of.")
        return SetFeatures(torch.cat(features), torch.cat(logits) if logits else None)


def effnet(state: State | None = None, device: str | torch.device = "cpu") -> FeatureNetwork:
    """EfficientNet-Lite0 with the shipped weights, or with `state`. Raises I2IError for other weights."""
    net = EfficientNetLite0()
    load_exactly(net, state or weights.read(weights.EFFNET_LITE0), "weights of EfficientNet-Lite0")
    net.eval().requires_grad_(False).to(device)
    return FeatureNetwork("effnet", 224, "quantized", lambda x: net((x - 127) / 128), torch.device(device))


def alex(state: State | None = None, device: str | torch.device = "cpu") -> FeatureNetwork:
    """AlexNet's last feature map, averaged over positions; as shipped for LPIPS, or `state`."""
    net = AlexNet()
    state = state or weights.read(weights.LPIPS_ALEX)
    load_exactly(net, {k: v for k, v in state.items() if not k.startswith("lin")}, "weights of AlexNet")
    return _trunk("alex", net, LPIPS_MEAN, LPIPS_DEVIATION, 2.0, device)


def vgg(state: State, device: str | torch.device = "cpu") -> FeatureNetwork:
    """VGG16's last feature map, averaged over positions. Raises I2IError for other weights."""
    net = VGG16()
    load_exactly(net, vgg_state(state), "weights of VGG16")
    return _trunk("vgg", net, IMAGENET_MEAN, IMAGENET_DEVIATION, 1.0, device)


def vgg_state(state: State) -> State:
    """The 13 convolutions of a VGG16 by the names conv0.weight, ...: of LPIPS's files or of torchvision's."""
    if "features.0.weight" not in state:
        return {k: v for k, v in state.items() if k.startswith("conv")}
    return {
        f"conv{i}.{part}": state[f"features.{n}.{part}"]
        for i, n in enumerate(TORCHVISION_VGG)
        for part in ("weight", "bias")
        if f"features.{n}.{part}" in state
    }


def inception(state: State, device: str | torch.device = "cpu", rule: str = "clean") -> FeatureNetwork:
    """Inception-v3 from a state dict: 1,008 logits are the network of FID, 1,000 are torchvision's.

    rule: the resize to 299 pixels; "clean" (default), or "legacy_tensorflow" as in the oldest papers. Raises I2IError
    if the state dict is of neither form."""
    classes = len(state["fc.weight"]) if "fc.weight" in state else 0
    form = next((name for name, count in LOGITS.items() if count == classes), None)
    if form is None:
        raise I2IError(
            "These are not the weights of an Inception-v3: fc.weight has neither 1,008 nor 1,000 rows.",
            "FID needs pytorch-fid's file pt_inception-2015-12-05-6726825d.pth, or torch-fidelity's.",
        )
    net = InceptionV3("fid" if form == "fid" else "torchvision")
    extra = ("AuxLogits.",)  # of torchvision's training
    load_exactly(net, {k: v for k, v in state.items() if not k.startswith(extra)}, "weights of Inception-v3")
    net.eval().requires_grad_(False).to(device)
    if form == "fid":
        return FeatureNetwork("inception", SIZE, rule, lambda x: net((x - 128) / 128), torch.device(device))
    return _imagenet("inception_torchvision", net, SIZE, rule, device)


def script(module: nn.Module, name: str, device: str | torch.device = "cpu") -> FeatureNetwork:
    """A TorchScript module (`torch.jit.load`) as a feature network.

    The published Inception of FID in this form takes levels 0 to 255, any size, and `return_features=True`; any other
    module takes levels 0 to 255 of 299 x 299 pixels and gives features [B, D]. name: printed beside numbers."""
    module.eval().to(device)
    published = hasattr(module, "layers") and hasattr(module, "output")

    def forward(x: Tensor) -> tuple[Tensor, Tensor | None]:
        features = module(x, return_features=True) if published else module(x)
        if not isinstance(features, Tensor) or features.ndim != 2:
            raise I2IError(f"The network {name} gives no features [images, features].")
        return features, None

    name = "inception" if published else name
    return FeatureNetwork(name, SIZE, "clean", forward, torch.device(device), classifies=False)


def classifier(
    name: str, net: nn.Module, size: int, device: str | torch.device = "cpu", rule: str = "clean"
) -> FeatureNetwork:
    """Any image classifier whose last dense layer makes the logits: what goes into that layer are the features.

    The network takes ImageNet's normalization. Raises I2IError if it has no dense layer."""
    dense = [module for module in net.modules() if isinstance(module, nn.Linear)]
    if not dense:
        raise I2IError(f"The network {name} has no dense layer, so its features are unknown.")
    seen: list[Tensor] = []
    dense[-1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].flatten(1)))

    class WithFeatures(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            seen.clear()
            logits = net(x)
            return seen.pop(), logits

    net.eval().requires_grad_(False).to(device)
    return _imagenet(name, WithFeatures(), size, rule, device)


SHIPPED: dict[str, Callable[..., FeatureNetwork]] = {"effnet": effnet, "alex": alex}
FROM_FILE: dict[str, Callable[..., FeatureNetwork]] = {"vgg": vgg, "inception": inception}
ALIASES = {"effnet_lite0": "effnet", "efficientnet_lite0": "effnet", "lpips_alex": "alex", "vgg16": "vgg"}


def named(name: str, device: str | torch.device = "cpu") -> FeatureNetwork:
    """A shipped network by its name. Raises I2IError for any other name."""
    name = ALIASES.get(name, name)
    if name not in SHIPPED:
        known = [*SHIPPED, *FROM_FILE]
        raise I2IError(f"No feature network with shipped weights is called {name!r}.", nearest(name, known))
    return SHIPPED[name](device=device)


def recognize(state: State, device: str | torch.device = "cpu") -> FeatureNetwork:
    """The network that a state dict belongs to, by its keys. Raises I2IError if it is none of those above."""
    if "Mixed_7c.branch_pool.conv.weight" in state:
        return inception(state, device)
    if "_conv_stem.weight" in state:
        return effnet(state, device)
    if "features.28.weight" in state or "conv12.weight" in state:
        return vgg(state, device)
    if "conv4.weight" in state:
        return alex(state, device)
    first = ", ".join(list(state)[:3])
    raise I2IError(
        f"The weights belong to no feature network that i2i knows (keys: {first}, ...).",
        "Known: Inception-v3 of FID or of torchvision, VGG16, AlexNet, EfficientNet-Lite0.",
    )


def _trunk(
    name: str,
    net: AlexNet | VGG16,
    mean: tuple[float, ...],
    deviation: tuple[float, ...],
    span: float,
    device: str | torch.device,
) -> FeatureNetwork:
    """The last feature map of `net`, averaged. span: of its values before `mean` and `deviation`; 1: from 0 to 1; 2:
    from -1 to 1."""
    net.eval().requires_grad_(False).to(device)
    shift, scale = (torch.tensor(v, device=device)[:, None, None] for v in (mean, deviation))

    def forward(x: Tensor) -> tuple[Tensor, None]:
        unit = x / 255 * span - (span - 1)
        return net((unit - shift) / scale)[-1].mean((2, 3)), None

    return FeatureNetwork(name, 224, "clean", forward, torch.device(device), classifies=False)


def _imagenet(name: str, net: nn.Module, size: int, rule: str, device: str | torch.device) -> FeatureNetwork:
    mean, deviation = (torch.tensor(v, device=device)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    return FeatureNetwork(name, size, rule, lambda x: net((x / 255 - mean) / deviation), torch.device(device))


def _batches(images: Iterable[Tensor], count: int) -> Iterator[list[Tensor]]:
    source = iter(images)
    while part := list(islice(source, count)):
        yield part


def _rgb(image: Tensor) -> Tensor:
    """A uint8 image [1 or 3, H, W] as [3, H, W]."""
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] not in (1, 3):
        raise I2IError(f"Features need uint8 images [1 or 3, H, W], but {image.dtype} {list(image.shape)} was given.")
    return image.expand(3, -1, -1)
