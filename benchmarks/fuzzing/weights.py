"""Models of others: `.pth` files in both forms of torch.save, and ONNX files; through load and `models show`."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from fuzzing.mutate import ODD, mutate, mutate_json
from fuzzing.target import Case, Target, command, rewritten
from i2i import nets
from i2i.models.load import digest, load

WAYS = ("load", "load", "load", "digest", "show")
IMAGE = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
NETWORKS = [
    ("resnet", {"channels_in": 3, "channels_out": 3, "blocks": 1, "width": 2, "norm": "instance"}),
    ("resnet", {"channels_in": 3, "channels_out": 1, "blocks": 2, "width": 2, "norm": "batch", "upsample": "blur"}),
    ("unet", {"channels_in": 3, "channels_out": 3, "depth": 3, "width": 2, "norm": "batch"}),
    ("patchgan", {"channels": 3, "layers": 1, "width": 2}),
    ("pixel", {"channels": 3, "width": 2}),
]


class ModelFile(Target):
    """A file with a model of others, through `load`, `digest` and `models show`."""

    file: str  # the name that an input gets

    def run(self, case: Case) -> None:
        path = rewritten(Path(self.file), case.data)
        if case.kind == "load":
            load(path)(IMAGE)
        elif case.kind == "digest":
            digest(path)
        else:
            command("models", "show", str(path))


class Pth(ModelFile):
    """State dicts by torch.save: bytes, pickles, zip files, and whole state dicts with odd tensors."""

    file = "model.pth"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.states = [nets.build(name, **arguments).state_dict() for name, arguments in NETWORKS]
        self.files = [saved(state, form) for state in self.states for form in (True, False)]

    def case(self, random: Random) -> Case:
        kind = random.choice(WAYS)
        way = random.random()
        if way < 0.35:
            return Case(kind, saved(odd_state(random, random.choice(self.states)), random.random() < 0.8))
        data = random.choice(self.files)
        if way < 0.65 and data[:2] == b"PK":
            return Case(kind, with_pickle(data, random))
        return Case(kind, mutate(data, random, self.files))


def saved(state: Any, as_zip: bool) -> bytes:
    """What torch.save writes, today or before version 1.6."""
    stream = io.BytesIO()
    torch.save(state, stream, _use_new_zipfile_serialization=as_zip)
    return stream.getvalue()


def odd_state(random: Random, state: dict[str, Any]) -> Any:
    """A state dict with tensors of other shapes, types and strides, with other keys, in other containers."""
    changed: Any = OrderedDict(state)
    for _ in range(random.choice((1, 1, 2, 4))):
        key = random.choice(list(changed))
        kind = random.randrange(9)
        if kind == 0:
            del changed[key]
        elif kind == 1:
            changed[random.choice(("", "model", key + ".x", "9" * 30, "model.1.weight", 5, None))] = changed[key]
        elif kind == 2:
            changed[key] = changed[random.choice(list(changed))]
        elif kind == 3:  # a few bytes that stand for many
            changed[key] = torch.zeros(1).expand(*random.choice(((10**9,), (10**6, 10**6), (2**40, 3, 4, 4), (9,))))
        elif kind == 4 and isinstance(changed[key], torch.Tensor) and changed[key].numel() < 10**6:  # is written out
            types = (torch.float16, torch.complex64, torch.bool, torch.int8, torch.bfloat16, torch.float64)
            changed[key] = changed[key].to(random.choice(types))
        elif kind == 5 and isinstance(changed[key], torch.Tensor) and changed[key].numel() < 10**6:
            odd = (
                torch.zeros(0),
                torch.zeros(()),
                changed[key].flatten(),
                changed[key].to_sparse(),
                changed[key][None],
            )
            changed[key] = random.choice(odd)
        elif kind == 6:
            changed[key] = random.choice([value for value in ODD if value != "\ud800"])
        elif kind == 7 and isinstance(changed[key], torch.Tensor) and changed[key].is_floating_point():
            changed[key] = changed[key] * float(random.choice(("nan", "inf", "1e38", "0")))
        else:
            prefix = random.choice(("module.", "_orig_mod.", "model.", "netG."))
            changed = OrderedDict((f"{prefix}{key}", value) for key, value in changed.items())
        if not changed:
            break
    wrappers = ("state_dict", "model", "params_ema", "G", "x")
    return {random.choice(wrappers): changed, "epoch": 5} if random.random() < 0.3 else changed


def with_pickle(data: bytes, random: Random) -> bytes:
    """A zip file by torch.save whose pickle, or another of its parts, is changed; its checksums are right."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        names = old.namelist()
        chosen = next(n for n in names if n.endswith("data.pkl")) if random.random() < 0.7 else random.choice(names)
        for name in names:
            part = old.read(name)
            if name == chosen:
                part = mutate(part, random) if random.random() < 0.9 else pickle.dumps(random.choice(ODD), 2)
            new.writestr(name, part)
    return stream.getvalue()


# ---- ONNX --------------------------------------------------------------------------------------------------------

HEADER = {
    "method": "pix2pix", "channels_in": 3, "channels_out": 3, "multiple": 4, "whole": False, "radius": 3,
    "bytes_per_pixel": 100.0, "direction": "AtoB", "train_mode_norm": True, "dropout_at_test": False,
}  # fmt: skip
OPERATORS = [
    "Identity",
    "Tile",
    "Expand",
    "ConstantOfShape",
    "Resize",
    "Loop",
    "If",
    "Softmax",
    "Reshape",
    "Scan",
    "NoSuch",
]


class Onnx(ModelFile):
    """ONNX files with the header that `i2i export` writes: bytes, header, and parts of the graph."""

    file = "model.onnx"
    memory = 768

    def __init__(self) -> None:
        super().__init__()
        self.seeds = [graph(whole).SerializeToString() for whole in (False, True)]

    def case(self, random: Random) -> Case:
        kind, data = random.choice(WAYS), random.choice(self.seeds)
        way = random.random()
        if way < 0.4:
            return Case(kind, mutate(data, random, self.seeds))
        model = onnx.load_from_string(data)
        if way < 0.65:
            model.metadata_props[0].value = text_of(mutate_json(HEADER, random))
        else:
            for _ in range(random.choice((1, 1, 2, 3))):
                change(model.graph, random)
        return Case(kind, model.SerializeToString())


def graph(whole: bool) -> onnx.ModelProto:
    """A small network: convolution, norm, tanh."""
    numbers = np.random.default_rng(0)
    sizes = ["batch", 3, "height", "width"]
    weights = numpy_helper.from_array(numbers.normal(size=(3, 3, 3, 3)).astype(np.float32), "weight")
    ones = [numpy_helper.from_array(np.ones(3, np.float32), name) for name in ("scale", "bias")]
    nodes = [helper.make_node("Conv", ["picture", "weight"], ["a"], pads=[1, 1, 1, 1], kernel_shape=[3, 3])]
    nodes += [helper.make_node("InstanceNormalization", ["a", "scale", "bias"], ["b"], epsilon=1e-5)] if whole else []
    nodes += [helper.make_node("Tanh", ["b" if whole else "a"], ["translation"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name in ("picture", "translation")]
    made = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weights, *ones])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"i2i": json.dumps({**HEADER, "whole": whole})})
    return model


def change(made: onnx.GraphProto, random: Random) -> None:
    """Changes a node, an attribute, a weight, or the shape of an end of a graph."""
    kind, number = random.randrange(7), random.choice((0, 1, 2, -1, 7, 2**31, 2**40, -(2**63), 2**63 - 1))
    node = random.choice(made.node)
    if kind == 0:
        node.op_type = random.choice(OPERATORS)
    elif kind == 1 and node.attribute:
        attribute = random.choice(node.attribute)
        attribute.ints[:] = [number] * random.choice((1, 2, 4))
        attribute.i = number
    elif kind == 2:
        weight = random.choice(made.initializer)
        weight.dims[random.randrange(len(weight.dims))] = number
    elif kind == 3:
        weight = random.choice(made.initializer)
        weight.data_type = random.randrange(0, 24)
    elif kind == 4:  # weights that lie in another file
        weight = random.choice(made.initializer)
        weight.data_location = TensorProto.EXTERNAL
        entry = weight.external_data.add()
        entry.key, entry.value = "location", random.choice(("/etc/passwd", "../x", "/dev/zero"))
    elif kind == 5:
        end = random.choice([*made.input, *made.output])
        end.type.tensor_type.shape.dim[random.randrange(4)].dim_value = number if number > 0 else 16
    else:  # the image is repeated or enlarged without end
        value = np.array(random.choice(([1, 1, 400, 400], [30000, 1, 1, 1], [2**40, 1, 1, 1], [1, 1, 2, 2])), np.int64)
        made.initializer.append(numpy_helper.from_array(value, "many"))
        made.node.insert(0, helper.make_node("Tile", ["picture", "many"], ["more"]))
        made.node[1].input[0] = "more"


def text_of(value: Any) -> str:
    """A JSON text that a protocol buffer can hold."""
    return json.dumps(value).encode("utf-8", "replace").decode()
