"""Saved models: the JSON header of translators and generators, the container's own header, and the bytes.

They are read as `translate`, `generate`, `models show`, `models pack` and the card of `models push` read them.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from fuzzing.mutate import mutate, mutate_json
from fuzzing.target import Case, Target, command, removed, rewritten
from i2i.core.errors import I2IError
from i2i.data.batch import Shape
from i2i.methods import load_method, method_names
from i2i.models import format as model_file
from i2i.models import hub
from i2i.models.generator import load_generator
from i2i.models.load import digest, load
from i2i.models.use import use_of_run

TRANSLATING = ("translate", "translate", "translate", "way back", "digest", "show", "pack", "card", "generate")
GENERATING = ("generate", "generate", "generate", "walk", "show", "pack", "card", "translate")
FILE = "model.safetensors"
IMAGE = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
WORDS = ["unet", "resnet", "dcgan_g", "batch", "instance", "none", "transposed", "blur", "normal", "uniform", "code"]


class Headers(Target):
    """Models of every method in its smallest form, changed."""

    memory = 512
    draws_values = True

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path("run")
        self.folder.mkdir()
        self.seeds = [(kind, data) for name in method_names() for kind, data in models_of(name, self.folder)]

    def case(self, random: Random) -> Case:
        generates, data = random.choice(self.seeds)
        kind = random.choice(GENERATING if generates else TRANSLATING)
        way = random.random()
        if way < 0.6:
            head, tensors = parts_of(data)
            header = json.loads(head["__metadata__"]["i2i"])
            odd = [*self.odd, *WORDS, {**random.choice(list(header["networks"].values()))}]
            changed = mutate_json(header, random, odd)
            if random.random() < 0.5 and isinstance(header.get("networks"), dict):  # arguments of a network alone
                changed = header
                name = random.choice(list(header["networks"]))
                header["networks"][name] = mutate_json(header["networks"][name], random, odd)
            head["__metadata__"]["i2i"] = json.dumps(changed)
            return Case(kind, joined(head, tensors))
        if way < 0.8:
            head, tensors = parts_of(data)
            return Case(kind, joined(mutate_json(head, random, self.odd), tensors))
        return Case(kind, mutate(data, random, [other for _, other in self.seeds]))

    def run(self, case: Case) -> None:
        removed(*self.folder.iterdir())
        path = rewritten(self.folder / FILE, case.data)
        if case.kind == "translate":
            translator = load(path)
            image = IMAGE[..., : translator.channels_in] if translator.channels_in in (1, 3) else IMAGE
            translator(image)
            repr(translator)
        elif case.kind == "way back":
            load(self.folder, direction="BtoA", statistics="image")(IMAGE)
        elif case.kind in ("generate", "walk"):
            generator = load_generator(path)
            if case.kind == "walk":
                list(generator.walk([0, 1], 3, label=generator.label("0") if generator.labels else None))
                return
            list(generator.images([0, 1]))
            if any(kind == "normal" for kind, _ in generator.latent.parts):
                list(generator.images([3], truncation=0.5, size=generator.sizes[0]))
        elif case.kind == "digest":
            digest(path)
        elif case.kind == "pack":
            command("models", "pack", str(path), "-o", "packed.safetensors", "--overwrite")
        elif case.kind == "show":
            command("models", "show", str(path))
            command("models", "show", str(self.folder), "--json")
            use_of_run(self.folder)
        else:
            hub.card(self.folder, "somebody/model").encode()


def models_of(name: str, folder: Path) -> list[tuple[bool, bytes]]:
    """(whether it makes images from noise, content) of the models that training with a method saves."""
    kind = load_method(name)
    own = {f.name for f in dataclasses.fields(kind.Config)}
    values: dict[str, Any] = {"size": 16, "classes": 3 if kind.needs == "labelled" else 0, **kind.tiny}
    config = kind.Config(**{k: v for k, v in values.items() if k in own})
    shape = Shape(**{k: v for k, v in values.items() if k not in own})
    torch.manual_seed(0)
    method = kind(config, shape)
    header = {
        "method": name, "recipe": name, "data": ["pairs"], "channels_in": shape.channels_in, "version": "0.2.0",
        "channels_out": shape.channels_out, "size": shape.size, "range": [-1, 1], "preprocess": "resize",
        "direction": "AtoB", "images": 12, "metrics": {"val_l1": 0.25}, "licence": "CC0", **kind.facts(config),
    }  # fmt: skip
    if kind.needs == "labelled":
        header["class_names"] = ["a", "b", "c"]
    if method.averaged[0] != "G":
        header["generator"] = method.averaged[0]
    try:
        path = model_file.save(folder / FILE, {n: getattr(method, n) for n in method.averaged}, header)
    except I2IError:
        return []
    return [(header.get("kind") == "generate", path.read_bytes())]


def parts_of(data: bytes) -> tuple[Any, bytes]:
    """(the JSON before the tensors, the tensors) of a safetensors file."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(head: Any, tensors: bytes) -> bytes:
    """A safetensors file of both parts."""
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + tensors
