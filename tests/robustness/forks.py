"""The program in processes that are there at once: forked from one that has imported everything, so that they can be
killed at any moment of their work and not of their imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.cli.program import TINY

ROOT = Path(__file__).resolve().parents[2]
IMAGES = 16
# of a small run that writes all that it can write, at every image
SETTINGS = [*TINY, "--images", str(IMAGES), "--quiet"]
SETTINGS += ["--set", "log_every=1", "--set", "sample_every=5", "--set", "keep=2", "--set", "save_every=1"]
SERVER = """
import json, os, sys
import torch, i2i.cli, i2i.training.train, i2i.inference.translate, i2i.models.load, i2i.training.report, kornia
import onnxruntime, onnx, safetensors.torch, accelerate, torchvision.io, tifffile
answers = os.fdopen(int(sys.argv[1]), "w", buffering=1)
print("ready", 0, file=answers)
while line := sys.stdin.readline():
    order = json.loads(line)
    child = os.fork()
    if not child:
        answers.close()
        for number, name in ((1, order["out"]), (2, order["err"])):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        try:
            code = i2i.cli.run(order["words"])
        except SystemExit as stop:
            code = stop.code
        sys.stdout.flush()
        os._exit(code or 0)
    print("started", child, file=answers)
    sys.stdin.readline()  # until then, no other process gets the number of this one
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers)
"""


class Forks:
    """Starts `i2i WORDS` by forking. A context manager."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        ours, theirs = os.pipe()
        words = [sys.executable, "-c", SERVER, str(theirs)]
        self.server = subprocess.Popen(words, stdin=subprocess.PIPE, text=True, env=env, pass_fds=[theirs])
        os.close(theirs)
        self.answers = os.fdopen(ours)
        self.answer("ready")

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_: Any) -> None:
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait(60)
        self.answers.close()
        self.folder.cleanup()

    def start(self, *words: object) -> Program:
        """Starts the program; `Program.wait` must be called before the next one starts."""
        out, err = (Path(self.folder.name) / name for name in ("out", "err"))
        order = {"words": list(map(str, words)), "out": str(out), "err": str(err)}
        self.say(json.dumps(order))
        return Program(self.answer("started"), self, out, err)

    def run(self, *words: object) -> tuple[int, str]:
        """Runs the program; (exit code, what it wrote to stderr)."""
        program = self.start(*words)
        return program.wait(), program.err.read_text()

    def say(self, line: str) -> None:
        """Sends the server a line."""
        assert self.server.stdin is not None
        print(line, file=self.server.stdin, flush=True)

    def answer(self, kind: str) -> int:
        """The number of the server's next answer, which must be of this kind."""
        line = self.answers.readline()
        name, _, number = line.partition(" ")
        assert name == kind, line
        return int(number)


class Program:
    """A started program, by its process id."""

    def __init__(self, pid: int, forks: Forks, out: Path, err: Path) -> None:
        self.pid, self.forks, self.out, self.err = pid, forks, out, err

    def wait(self) -> int:
        """Its exit code; -9 if it was killed."""
        self.forks.say("wait")
        return self.forks.answer("ended")


def scraps(folder: Path) -> list[str]:
    """What is left of files that were being written."""
    odd = ("*.tmp*", "*.part", ".writing-*", ".i2i-*.tmp", ".tmp*")
    return sorted(str(path.relative_to(folder)) for pattern in odd for path in folder.rglob(pattern))


def bytes_of(folder: Path) -> dict[str, bytes]:
    """The outputs in a folder, hidden files aside."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
