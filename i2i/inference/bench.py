"""The use case "bench": a model by a published protocol, beside the published numbers, and what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from i2i import data as datasets
from i2i.core.errors import I2IError, NoDirection
from i2i.core.progress import Progress
from i2i.data.labels import palette_of
from i2i.data.protocols import Protocol, protocol
from i2i.inference import segmenter
from i2i.inference.evaluate import evaluate
from i2i.inference.evaluate_data import Source, choose_split, header_for, settings_of
from i2i.inference.evaluate_generated import as_generator
from i2i.media.palette import Palette
from i2i.models import feature_weights
from i2i.models.generator import LoadedGenerator
from i2i.models.load import load
from i2i.models.translator import Translator

STEPS = 400  # of the training of the segmenter
SAMPLES = 2000  # images of a model from noise, unless the caller says more
UNSAID = "Sources rarely say every detail: where they are silent, the card has the usual split and pre-processing."


def bench(
    name: str,
    model: str | Path | Translator | LoadedGenerator | None = None,
    data: Source | None = None,
    *,
    split: str | None = None,
    limit: int | None = None,
    features: str | None = None,
    size: int | None = None,
    steps: int = STEPS,
    seed: int = 0,
    device: str = "auto",
    method: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measures a model by the protocol card `name`; without a model, only the card is given.

    data: where the images of the protocol lie; None: the named data set of the card, downloaded if it has to be. split,
    size: None are those of the card. limit: images that are scored, at most. features: the feature network; None:
    Inception if its weights are on this disk, else effnet, whose distances compare with no published number. steps: of
    the training of the segmenter.

    Returns {"protocol", "published", "measured", "differs"}. measured: {"count", "size", "scores": {row: {metric:
    value}}, ...}, or None without a model. differs: sentences. Raises I2IError if there is no such protocol, its images
    are not here, or the model is of another kind."""
    card = protocol(name)
    result: dict[str, Any] = {"protocol": card.facts(), "published": list(card.published), "measured": None}
    if model is None:
        return {**result, "differs": []}
    sources = _sources(card, data)
    split = split or _split(card, sources)
    if card.kind == "segmentation":
        measured = _segmentation(card, model, sources, split, limit, size, steps, seed, device, method, progress)
    else:
        measured = _distances(card, model, sources, split, limit, features, size, seed, device, method, progress)
    result["measured"] = measured
    result["differs"] = _differences(card, measured, data is not None, split, limit)
    return result


def _sources(card: Protocol, data: Source | None) -> list[str]:
    if data is None and not card.data:
        raise I2IError(f"The images of the protocol {card.name} have no card.", "Name them: --data DIR")
    return [str(data)] if isinstance(data, str | Path) else [str(one) for one in data or [card.data]]


def _split(card: Protocol, sources: list[str]) -> str:
    """The split of the card if the images have it, else the one that evaluation takes."""
    try:
        return choose_split(sources, card.split)[0]
    except I2IError:
        return choose_split(sources, None)[0]


def _distances(
    card: Protocol,
    model: Any,
    sources: list[str],
    split: str,
    limit: int | None,
    features: str | None,
    size: int | None,
    seed: int,
    device: str,
    method: str | Path | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """Distances of sets of images, by the feature network."""
    generator = as_generator(model, device, method)
    if (generator is None) == (card.kind == "noise"):
        kinds = {"noise": "makes images from noise", "images": "translates images"}
        raise I2IError(f"The protocol {card.name} is for a model that {kinds[card.kind]}.", "`i2i bench` lists all.")
    network = features or ("inception" if feature_weights.is_here("inception") else "effnet")
    metrics = [m for m in ("fd", "kid", "is") if m in card.metrics or (m == "fd" and "fid" in card.metrics)]
    scored: Translator | LoadedGenerator
    options: dict[str, Any]
    if generator is None:
        scored, direction = _oriented(card, model, device, method)
        options = {"size": size or card.size, "direction": direction}
    else:
        scored, options = generator, {"samples": min(SAMPLES, card.count or SAMPLES, limit or SAMPLES)}
    found = evaluate(
        scored, sources, limit, split=split, device=device, method=method,
        metrics=metrics, features=network, seed=seed, progress=progress, **options,
    )  # fmt: skip
    rows = {title: found[title] for title in ("model", "input copied", "real images") if title in found}
    keys = ("count", "size", "features", "intervals", "generated")
    return {"scores": rows, **{key: found[key] for key in keys if key in found}}


def _oriented(
    card: Protocol, model: str | Path | Translator, device: str, method: str | Path | None
) -> tuple[Translator, str]:
    """The model in the protocol's direction, and that direction: BtoA if the model was trained the other way round.

    Raises I2IError if the model does not hold the way back then."""
    translator = model if isinstance(model, Translator) else load(model, device, "fp32", method=method)
    trained = str(translator.header.get("direction") or card.direction)
    if trained == card.direction:
        return translator, "AtoB"
    if isinstance(model, Translator):
        return model, "BtoA"
    try:
        return load(model, device, "fp32", direction="BtoA", method=method), "BtoA"
    except NoDirection as error:
        raise I2IError(
            f"The protocol {card.name} goes {card.direction}, and the model was trained on {trained} alone.",
            "Choose a protocol of the other direction; `i2i bench` lists all.",
        ) from error


def _segmentation(
    card: Protocol,
    model: Any,
    sources: list[str],
    split: str,
    limit: int | None,
    size: int | None,
    steps: int,
    seed: int,
    device: str,
    method: str | Path | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """FCN scores by a segmenter that is trained here on the real pairs of the training split."""
    translator, direction = _oriented(card, model, device, method)
    header = {**translator.header, "direction": translator.header.get("direction") or card.direction}
    settings = settings_of(header_for(header, direction), "paired", size or card.size)
    training = datasets.open(sources, settings, split="train")
    if split == "train":
        raise I2IError("The images have no split beside train to score.", "Put some pairs into a folder test/ or val/.")
    test = datasets.open(sources, settings, split=split)
    own = Palette.of_text(card.palette) if card.palette else palette_of(settings, "paired", training.sides[0])
    read = segmenter.LabelReader(own)
    net = segmenter.train(training, read, steps, seed, progress)
    count = min(limit or test.count, test.count)
    scores = segmenter.score(net, test, count, read, lambda xs: translator(xs, batch=segmenter.BATCH))
    facts = {"classes": read.count, "trained on": training.count, "steps": steps}
    return {"scores": scores, "count": count, "size": settings.size, "segmenter": facts}


def _differences(card: Protocol, measured: dict[str, Any], own_data: bool, split: str, limit: int | None) -> list[str]:
    """What differs from the protocol, as sentences; the most important first."""
    said = []
    network = measured.get("features", {}).get("network")
    if network is not None and network != card.features:
        said.append(
            f"The feature network is {network}, not {card.features}: no number compares with a published one. "
            "--features inception downloads the network of FID (91 MB)."
        )
    elif network is not None:
        said.append(
            f"Images are resized for the network by the rule {measured['features']['resize']}; older papers used "
            "others, which moves FID by points."
        )
    if "segmenter" in measured:
        facts = measured["segmenter"]
        said.append(
            f"The segmenter was trained here ({facts['steps']} steps on {facts['trained on']:,} real pairs); the "
            f"protocol has {card.features}. Compare with the ceiling and the floor only."
        )
    if own_data:
        said.append("Whether the images given by --data are those of the protocol was not checked.")
    if split != card.split:
        said.append(f"The split is {split}, and that of the protocol is {card.split}.")
    count = measured["count"]
    if limit is not None or (card.count and count != card.count):
        wanted = f"{card.count:,}" if card.count else f"all of the split {card.split}"
        said.append(f"Images: {count:,}; of the protocol: {wanted}.")
    if measured["size"] != card.size:
        said.append(f"The size is {measured['size']} pixels, and that of the protocol is {card.size}.")
    return [*said, UNSAID]
