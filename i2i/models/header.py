"""Which values the entries of a model's header may have: a file may come from anybody."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any

from i2i.core.config import MAX_SIDE, Channels, Range, Side, Width, require
from i2i.core.errors import I2IError

NETWORK_OF = {"AtoB": "G", "BtoA": "F"}  # direction -> network in the file
BY_DIRECTION = ("domain", "bf16")  # entries that say something of each direction
TYPES: dict[str, Any] = {
    "channels_in": Channels,
    "channels_out": Channels,
    "multiple": Annotated[int, Range(1, MAX_SIDE)],  # of which the sides of images must be multiples
    "scale": Annotated[int, Range(1, 16)],  # sides of an output divided by those of its input
    "center": Annotated[int, Range(0, MAX_SIDE)],  # of training images: side of the square cut out of their middle
    "size": Side,
    "sizes": list[Side],  # of a growing generator
    "standing": Annotated[int, Range(0, 10_000)] | None,  # passes that measure batch norm
    "colorizes": bool,
    "render_factor": Annotated[int, Range(0, 256)],  # of a model that colors: its square's side, in 16 pixels
    "class_names": list[str] | None,
    "choices": list[str],  # of networks with several answers: what may be chosen, see i2i.nets.choice
    "data": list[str],
    "sha256": str | None,
    **dict.fromkeys(
        (
            "method",
            "generator",
            "kind",
            "direction",
            "preprocess",
            "layout",
            "degrade",
            "licence",
            "version",
            "palette",
        ),
        str | None,
    ),
}
MAX_CLASSES = 100_000


def check_header(where: str, header: Mapping[str, Any]) -> None:
    """Raises I2IError naming the first entry of a header that no model can have. where: the model, for the message.

    Entries that are missing or not known are right."""
    try:
        for key, hint in TYPES.items():
            if key in header:
                require(key, header[key], hint)
        if "latent" in header:
            _check_latent(header["latent"])
        if len(header.get("class_names") or ()) > MAX_CLASSES:
            raise I2IError(f"class_names has {len(header['class_names'])} names.", f"Allowed: 0 to {MAX_CLASSES}.")
    except I2IError as error:
        raise I2IError(f"The header of {where} is damaged: {error}", "Copy or download the file again.") from error


def channels_of(where: str, arguments: Mapping[str, Any], header: Mapping[str, Any]) -> tuple[int, int]:
    """Channels of the inputs and outputs of a network, by its arguments or the header; 3 if neither says. Raises as
    `check_header`."""
    channels = {key: arguments.get(key, header.get(key, 3)) for key in ("channels_in", "channels_out")}
    check_header(where, channels)
    return int(channels["channels_in"]), int(channels["channels_out"])


def _check_latent(parts: Any) -> None:
    """Raises I2IError if the noise is no list of [kind, width]."""
    require("latent", parts, list[Any])
    if not 1 <= len(parts) <= 1000 or any(not isinstance(p, list | tuple) or len(p) != 2 for p in parts):
        raise I2IError("latent is not a list of pairs of a kind and a width.")
    for kind, width in parts:
        require("the kind of noise in latent", kind, str)
        require("the width of noise in latent", width, Width)


def with_networks(header: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The header of a model that keeps the networks `names` alone: what it says of other directions is left out."""
    result = {**header, "networks": {name: entry for name, entry in header["networks"].items() if name in names}}
    for key in BY_DIRECTION:
        if isinstance(facts := header.get(key), Mapping):
            gone = [way for way, name in NETWORK_OF.items() if name in header["networks"] and name not in names]
            result[key] = {way: fact for way, fact in facts.items() if way not in gone}
    return result
