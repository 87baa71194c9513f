"""What a method leaves in a saved model: the names by which its networks are built again, and the header's facts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from i2i import nets
from i2i.core.errors import I2IError
from i2i.core.user_code import place_of
from i2i.data.batch import Batch
from i2i.methods._method import Method
from i2i.models import format as model_file
from i2i.models.load import translator_of
from i2i.nets.latent import Latent


def saved_header(method: Method) -> dict[str, Any]:
    """The entries of a saved model's header that its networks are run by."""
    shape = method.shape
    sizes: dict[str, Any] = {"channels_in": shape.channels_in, "channels_out": shape.channels_out, "size": shape.size}
    if shape.palette:
        sizes["palette"] = shape.palette
    return {**sizes, "generator": method.averaged[0], **method.facts(method.config)}


def build_again(
    kind: type[Method], networks: Mapping[str, nn.Module], header: Mapping[str, Any]
) -> dict[str, nn.Module]:
    """The networks as a saved model would give them back; nothing is written to disk.

    Raises I2IError naming file and line for a network that a saved model cannot build."""
    rebuilt: dict[str, nn.Module] = {}
    for name, net in networks.items():
        described = _description(kind, name, net)
        state = {k: v.detach().to("cpu", copy=True) for k, v in net.state_dict().items()}
        state = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
        full = {**header, "networks": {name: described}}
        try:
            rebuilt[name] = model_file.build(Path("a saved model"), name, full, state)
        except I2IError as error:
            raise I2IError(
                f"{type(net).__name__} ({place_of(type(net))}) cannot be built again from a saved model: {error.what}",
                f"A new {type(net).__name__} with the same arguments must have the same layers: make them in __init__.",
            ) from error
        device = next((p.device for p in net.parameters()), torch.device("cpu"))
        rebuilt[name].to(device)
    return rebuilt


def _description(kind: type[Method], name: str, net: nn.Module) -> dict[str, Any]:
    """Type and arguments of a network, through JSON."""
    own = type(net)
    if own.__module__ != kind.__module__ and "registered_as" not in vars(own):
        raise I2IError(
            f"{name} of {kind.__name__} ({place_of(kind)}) is a {own.__name__} of {own.__module__.partition('.')[0]}, "
            "which a saved model cannot build again.",
            "Put it into a class of your own whose __init__ makes it: class Generator(nn.Module): ...",
        )
    if "registered_as" not in vars(own):
        raise I2IError(
            f"{own.__name__} ({place_of(own)}) is defined inside of {own.__qualname__.rpartition('.')[0]}, where a "
            "saved model cannot find it.",
            "Define the class at the top level of the file.",
        )
    try:
        arguments = nets.network_arguments(net)
    except I2IError as error:
        raise I2IError(error.what.replace(own.__name__, f"{own.__name__} ({place_of(own)})", 1), error.hint) from error
    described: dict[str, Any] = json.loads(json.dumps({"type": nets.network_name(net), "arguments": arguments}))
    return described


@torch.no_grad()
def images_of(method: Method, networks: Mapping[str, nn.Module], header: Mapping[str, Any], batch: Batch) -> Tensor:
    """What a saved model with these networks makes of a batch, [B, C, H, W] in [-1, 1]."""
    network = networks[method.averaged[0]].eval()
    if header.get("kind") != "generate":
        x = batch.x.float()
        return translator_of({method.averaged[0]: network}, header)(x)
    latent = Latent(tuple((kind, width) for kind, width in header["latent"]))
    ids = torch.arange(len(batch), device=batch.x.device) if batch.ids is None else batch.ids
    inputs = [latent.draw(ids).to(batch.x)]
    if method.needs == "labelled":
        inputs.append(ids % method.shape.classes if batch.c is None else batch.c)
    images: Tensor = network.float()(*[i.float() if i.is_floating_point() else i for i in inputs])
    return images.clamp(-1, 1)
