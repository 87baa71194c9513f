"""Files in the folders of runs and outputs: the record of an archive, the log, manifests, best.json, scores.

They are read by `translate --resume`, by `train --resume`, by `runs` and by the report.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

import i2i
from fuzzing.mutate import mutate, mutate_json, mutate_text
from fuzzing.target import Case, Target, command, removed, rewritten
from i2i.core.files import sha256_of
from i2i.inference import manifest
from i2i.models.load import translator_of
from i2i.nets.resnet import ResNet
from i2i.training import checkpoint
from i2i.training.report import Report
from i2i.training.report.history import RunHistory
from i2i.training.report.log import Log
from i2i.training.saving import FACTS, Saver
from i2i.training.session import Session
from i2i.training.train import resolve_run

KINDS = ("record", "record", "log", "log", "runs", "manifest", "best", "state", "state", "tensors", "metrics", "report")
LOG = [
    {"kind": "environment", "device": "cpu", "versions": {"i2i": "0.2"}, "changed": ["size"], "processes": 1},
    {"kind": "note", "text": "a note"},
    {"kind": "losses", "terms": {"G/l1": 0.5, "D/real": 0.7}, "rates": {"G": 2e-4}, "speed": 3.5},
    {"kind": "signs", "spread": 0.4, "nearest": 0.1},
    {"kind": "samples"},
    {"kind": "score", "score": 0.3},
    {"kind": "saved", "checkpoint": "000000000004"},
    {"kind": "warning", "text": "words"},
    {"kind": "save failed", "error": "disk full"},
    {"kind": "resumed"},
    {"kind": "evaluation", "model": {"l1": 0.1, "psnr": 20.0}, "input": {"l1": 0.2}},
    {"kind": "ended", "reason": ""},
]
SETTINGS = {"size": 16, "width": 4, "d_width": 4, "layers": 1, "depth": 3, "device": "cpu", "workers": 0, "images": 4}


class Records(Target):
    """JSON and JSON lines that lie in folders of runs and of outputs."""

    draws_values = True

    def __init__(self) -> None:
        super().__init__()
        # A run with two checkpoints, and what a session of training restores one into.
        for number in range(3):
            image = Image.effect_noise((32, 16), 50 + number).convert("RGB")
            Path("pairs/train").mkdir(parents=True, exist_ok=True)
            image.save(f"pairs/train/{number}.png")
        self.run_folder = i2i.train("pix2pix", "pairs", "run", save_every=2, **SETTINGS)
        self.checkpoints = self.run_folder / "checkpoints"
        self.newest, self.older = checkpoint.listed(self.checkpoints)[-1], checkpoint.listed(self.checkpoints)[0]
        self.session = Session(resolve_run("pix2pix", ["pairs"], Path("other"), SETTINGS), quiet=True, resumed=True)
        loop = self.session.loop
        self.saver = Saver(self.run_folder, 2, loop.observer, None, None)
        config = (self.run_folder / "config.yaml").read_text().splitlines()[:8]  # YAML takes its time
        (self.run_folder / "config.yaml").write_text("\n".join(config) + "\n")
        self.whole = {p: p.read_bytes() for p in self.run_folder.rglob("*") if p.is_file()}
        self.facts = json.loads((self.newest / "state.json").read_text())
        self.manifest = json.loads((self.newest / "manifest.json").read_text())
        self.log = self._lines([{**line, "images": 2 * i, "time": "2026-01-01T00:00:00", "seconds": 1.5 * i}
                                for i, line in enumerate(LOG)])  # fmt: skip

        # An archive of which all is translated.
        self.translator = translator_of({"G": ResNet(3, 3, blocks=0, width=2).eval()}, {})
        Path("in/a").mkdir(parents=True)
        for number in range(4):
            Image.effect_noise((8, 8), 50 + number).convert("RGB").save(f"in/a/{number}.png")
            os.utime(f"in/a/{number}.png", (1, 1))
        i2i.translate("in", "out", self.translator)
        self.record = Path("out") / manifest.NAME
        self.entries = [json.loads(line) for line in self.record.read_bytes().splitlines()]

    def case(self, random: Random) -> Case:
        kind = random.choice(KINDS)
        if kind == "tensors":
            data = (self.newest / "state.safetensors").read_bytes()
            return Case(kind, mutate(data, random))
        value = {"record": self.entries, "manifest": self.manifest, "state": self.facts}.get(kind)
        if kind in ("log", "runs", "report"):
            value = [json.loads(line) for line in self.log.splitlines()]
        if kind == "best":
            value = {"checkpoint": self.newest.name, "score": 0.2, "images": 4}
        if kind == "metrics":
            value = {"model": {"l1": 0.1, "psnr": 20.0}, "input": {"l1": 0.3}, "images": 3}
        if random.random() < 0.75:
            value = mutate_json(value, random, self.odd)
        lines = kind in ("record", "log", "runs", "report")
        data = self._lines(value) if lines else json.dumps(value).encode()
        return Case(kind, mutate_text(data, random) if random.random() < 0.4 else data)

    def _lines(self, value: Any) -> bytes:
        values = value if isinstance(value, list) else [value]
        return b"".join(json.dumps(line).encode() + b"\n" for line in values)

    def run(self, case: Case) -> None:
        kind = case.kind
        if kind == "record":
            rewritten(self.record, case.data)
            try:
                i2i.translate("in", "out", self.translator, resume=True, dry_run=True)
            finally:
                i2i.translate("in", "out", self.translator, dry_run=True)
            return
        for path in self.run_folder.rglob("*"):  # what the last input changed
            if path.is_file() and path not in self.whole:
                path.unlink()
        for path, data in self.whole.items():
            if not path.is_file() or path.stat().st_size != len(data) or path.suffix in (".json", ".jsonl", ".yaml"):
                rewritten(path, data)
        if kind in ("log", "report"):
            log = Log(rewritten(self.run_folder / "log.jsonl", case.data))
            log.rewind(4)
            history = RunHistory.of(log)
            history.speed()
            if kind == "report":
                removed(self.run_folder / "report.html")
                report = Report(self.run_folder, "pix2pix", {}, 10, live=False)
                report.event(4, "resumed")
                report.close("")
                if not (self.run_folder / "report.html").is_file():
                    raise AssertionError("no report was written")
        elif kind in ("runs", "metrics", "best"):
            name = {"runs": "log.jsonl", "metrics": "metrics.json", "best": "checkpoints/best.json"}[kind]
            rewritten(self.run_folder / name, case.data)
            run = str(self.run_folder)
            words = (["--in", "."], ["show", run], ["show", run, "--json"], ["compare", run, run])
            command("runs", *words[len(case.data) % 4])
            if kind == "best":
                checkpoint.best_of(self.checkpoints).get("score", 1.0) < 0.5  # noqa: B015 (as a run compares it)
                checkpoint.rotate(self.checkpoints, 1)
        else:
            name = {"manifest": "manifest.json", "state": "state.json", "tensors": "state.safetensors"}[kind]
            rewritten(self.newest / name, case.data)
            if kind != "manifest":  # with the right digest, so that it counts as whole
                digests = {**self.manifest["sha256"], name: sha256_of(self.newest / name)}
                text = json.dumps({**self.manifest, "sha256": digests})
                rewritten(self.newest / "manifest.json", text.encode())
            self._restore()

    def _restore(self) -> None:
        """Restores the newest whole checkpoint, which is never worse than the older one that nobody has changed."""
        warnings: list[str] = []
        found = checkpoint.newest(self.checkpoints, warnings.append, FACTS)
        if found is None:
            raise AssertionError("no checkpoint was found")
        loop = self.session.loop
        images = self.saver.restore(loop.train_step, loop.ema, {**found[1]["run"]})
        if not isinstance(images, int):
            raise AssertionError(f"{images!r} images were restored")
