"""Names that people type: of inputs, outputs, models, data sets, recipes and shards, lists of files, and addresses."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random

from hypothesis import strategies as st
from PIL import Image

from fuzzing.mutate import examples, mutate
from fuzzing.target import Case, Target, command, rewritten
from i2i.core import storage
from i2i.inference.inputs import collect_jobs, parse_shard, read_list
from i2i.models import hub
from i2i.models.format import save
from i2i.models.load import find
from i2i.nets.resnet import ResNet
from i2i.training import recipes

KINDS = ("inputs", "inputs", "translate", "shard", "model", "data", "recipe", "list", "hub", "locate", "words")
PARTS = [
    *("in", "a.png", "b", "**", "*", "?", "[a-", "[!]", "]", "{a,b}", "..", ".", "/", "//", "~", "~x", "\\"),
    *("\x00", "\n", "\x1b[0m", "é", "é", "\ud800", "\udcff", "\u202e", " ", "-", "--", "=", "@", ":", "%00"),
    *("%2e%2e", "x" * 300, "y/" * 600, "#", "hf:", "hf:a/b", "@main", "s3://", "s3://b/k.png", "memory://"),
    *("file://", "file:///", "http://127.0.0.1:1/", "::", "zip://", "1/4", "0/1", "4/3", "٣/٤", "1e3", "-1"),
    *("9" * 5000, "²/³", "a.PNG", "out.tif", ".jpg", ".onnx", ".pth", "run", "model", "pix2pix", "cyclegan"),
    *("earth", "monet", "PIX2PIX", "horse2zebra", "con", "nul.png", "a.b.c", "in/b/c.png", "in/link.png"),
]


class Names(Target):
    """Texts in place of names."""

    memory = 256

    def __init__(self) -> None:
        super().__init__()
        Path("in/b").mkdir(parents=True)
        for name in ("in/a.png", "in/b/c.png", "in/é.png", "in/A [1].png"):
            Image.new("RGB", (4, 4)).save(name)
        os.symlink("nowhere", "in/link.png")
        os.symlink("loop", "in/loop")
        save("tiny.safetensors", {"G": ResNet(3, 3, blocks=0, width=2)}, {"method": "pix2pix"})
        self.texts: list[str] = examples(st.text(min_size=1, max_size=30), 0, 1000)

    def case(self, random: Random) -> Case:
        kind = random.choice(KINDS)
        names = [self._name(random) for _ in range(random.choice((1, 1, 2, 5)))]
        if kind == "list":
            data = b"\n".join(name.encode("utf-8", "surrogatepass") for name in names)
            return Case(kind, mutate(data, random) if random.random() < 0.5 else data)
        return Case(kind, json.dumps(names).encode())

    def _name(self, random: Random) -> str:
        parts = [random.choice(PARTS) for _ in range(random.choice((1, 1, 2, 3, 5)))]
        if random.random() < 0.3:
            parts.insert(random.randrange(len(parts) + 1), random.choice(self.texts))
        name = random.choice(("", "/")).join(parts)
        if name.startswith(("/", "~", "file:")) or ".." in name or "://" in name:
            # Neither a pattern nor a folder may walk through this machine's disk.
            name = name.replace("*", "+").replace("../..", "..").replace("file://", "file:///nowhere")
        return f"/nowhere{name}" if name.startswith("/") else name

    def run(self, case: Case) -> None:
        if case.kind == "list":
            path = rewritten(Path("list.txt"), case.data)
            listed = read_list(path, null=len(case.data) % 2 == 0)
            collect_jobs([], "out", "tiny", listed=listed, root="in")
            return
        names = json.loads(case.data)
        name = names[0]
        if case.kind == "inputs":
            collect_jobs(names, "out", "tiny")
            collect_jobs(["in"], name, "tiny", suffix="png")
            collect_jobs(names[1:], None, name.replace("/", " "))  # a model's name is that of a file
        elif case.kind == "translate":
            words = ["translate", *names, "-o", "out", "--model", "tiny.safetensors", "--dry-run"]
            command(*[word.replace("\0", "0") for word in words])  # a command's words end at a NUL
        elif case.kind == "shard":
            parse_shard(name)
        elif case.kind == "model":
            find(name.replace("hf:", "hf/"))
        elif case.kind == "data":
            command("data", "show", *names)
            command("data", "check", *names)
        elif case.kind == "recipe":
            command("recipes", "show", name)
        elif case.kind == "hub":
            hub.split(name)
        elif case.kind == "locate":
            path = storage.locate(name)
            storage.is_address(path) or storage.file_sizes([path])
        else:
            recipes.recipe(name)
            command("train", *names, "--dry-run")
