"""Settings: recipes, a run's config.yaml, and the words of `i2i train --set`; as `recipes show`, `train --dry-run`, and
`runs` read them."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import yaml
from PIL import Image

import i2i
from fuzzing.mutate import NUMBERS, ODD, mutate_json, mutate_text
from fuzzing.target import Case, Target, command, rewritten
from i2i.methods import load_method, method_names
from i2i.training import recipes

KINDS = ("recipe", "recipe", "config", "config", "set", "set")
TINY = {"size": 16, "width": 4, "d_width": 4, "layers": 1, "depth": 3, "device": "cpu", "workers": 0, "images": 4}
DATA = {"paired": ["pairs"], "unpaired": ["a", "b"], "images": ["a"], "labelled": ["labels"]}
DATA["attributes"] = ["labels"]  # class folders


class Settings(Target):
    """YAML of recipes and runs, and words of the command line."""

    memory = 3072  # steps of the networks that are asked for are measured, if they fit
    draws_values = True

    def __init__(self) -> None:
        super().__init__()
        numbers = np.random.default_rng(0)
        sizes = {"pairs/train": (32, 16), "a": (16, 16), "b": (16, 16), "labels/x": (16, 16), "labels/y": (16, 16)}
        for folder, size in sizes.items():
            Path(folder).mkdir(parents=True)
            for i in range(4):
                Image.fromarray(numbers.integers(0, 256, (*size[::-1], 3), np.uint8)).save(f"{folder}/{i}.png")
        layouts = {name: layout for layout, names in recipes.by_layout().items() for name in names}
        self.data = {name: DATA[layouts[name]] for name in method_names()}
        self.run_folder = i2i.train("pix2pix", "pairs", "run", **TINY)
        self.config = yaml.safe_load((self.run_folder / "config.yaml").read_text())
        self.tiny = {name: {"size": 16, **load_method(name).tiny, "device": "cpu", "images": 4} for name in self.data}
        shipped = [recipes.recipe(name) for name in recipes.recipes()]
        self.recipes = [{**values, **self.tiny[values["method"]]} for values in shipped]
        self.keys = {
            name: [setting["name"] for setting in json.loads(command("recipes", "show", name, "--json"))["settings"]]
            for name in self.data
        }

    def case(self, random: Random) -> Case:
        kind = random.choice(KINDS)
        if kind == "set":
            method = random.choice(list(self.keys))
            chosen = random.choices(self.keys[method], k=random.choice((1, 1, 2, 3)))
            words = [f"{random.choice(('--set ', '--set ', '--', ''))}{key}={self._text(random)}" for key in chosen]
            small = [f"--set {key}={value}" for key, value in self.tiny[method].items() if key not in chosen]
            return Case(kind, json.dumps([method, *small, *words]).encode())
        values = self.config if kind == "config" else random.choice(self.recipes)
        if random.random() < 0.7:
            values = mutate_json(values, random, self.odd)
        try:
            text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode("utf-8", "surrogatepass")
        except (yaml.YAMLError, ValueError, RecursionError):
            text = json.dumps(values).encode()
        return Case(kind, mutate_text(text, random, [b"- &a x\n- *a\n"]) if random.random() < 0.5 else text)

    def _text(self, random: Random) -> str:
        value = random.choice([*NUMBERS, *ODD, *self.odd, "1,2,3", "[1, 2]", "1e9", "0x10", "auto", "yes", "1_0", "٣"])
        return str(value)[:2000]

    def run(self, case: Case) -> None:
        if case.kind == "set":
            method, *words = json.loads(case.data)
            split = [part for word in words for part in (word.split(" ", 1) if word.startswith("--set ") else [word])]
            command("train", method, *self.data[method], "--out", "new", "--dry-run", "--json", *split)
            return
        if case.kind == "config":
            rewritten(self.run_folder / "config.yaml", case.data)
            words = (["runs", "show", "run"], ["runs", "--in", "."], ["train", "--resume", "run", "--dry-run"])
            command(*words[len(case.data) % 3])
            return
        rewritten(Path("recipe.yaml"), case.data)
        if len(case.data) % 2:
            command("recipes", "show", "recipe.yaml")
            return
        method = str(recipes.recipe("recipe.yaml")["method"])
        command("train", "recipe.yaml", *self.data.get(method, ["pairs"]), "--out", "new", "--dry-run")
