"""Makes the files of this folder with i2i 0.1 (commit e47913c): run it in an empty folder, with that on PYTHONPATH."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

import i2i

TIME = 1_750_000_000  # of the inputs, in seconds; the record of a translation holds it
TINY = ["--device", "cpu", "--workers", "0", "--quiet", "--size", "16", "--set", "width=4", "--set", "d_width=4"]
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "I2I_CACHE": "cache"}


def run(*words, ok=(0,)):
    done = subprocess.run([sys.executable, "-m", "i2i", *map(str, words)], env=ENV, capture_output=True, text=True)
    assert done.returncode in ok, done.stderr
    return done.stdout


def picture(path, seed, width=16, height=16):
    """Smooth noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2)).save(path)
    os.utime(path, (TIME, TIME))


# Data: pairs side by side, two sides, classes.
for split, count in (("train", 8), ("val", 2), ("test", 2)):
    for i in range(count):
        picture(Path("data/pairs", split, f"{i}.png"), 100 * len(split) + i, width=32)
for side in ("trainA", "trainB"):
    for i in range(4):
        picture(Path("data/sides", side, f"{i}.png"), i + 50 * (side == "trainB"))
for label in ("circle", "square"):
    for i in range(4):
        picture(Path("data/classes/train", label, f"{i}.png"), i + 90 * (label == "square"))

# A run of pix2pix, once whole and once stopped at its second checkpoint.
PIX = ["pix2pix", "--data", "data/pairs", *TINY, "--set", "depth=3", "--set", "layers=1", "--set", "save_every=16"]
PIX += ["--set", "log_every=4", "--set", "sample_every=16", "--images", "48", "--batch", "4"]
run("train", *PIX, "--out", "whole")
stopped = subprocess.Popen([sys.executable, "-m", "i2i", "train", *PIX, "--out", "run"], env=ENV)
while not any("000032" in p.name for p in Path("run").glob("checkpoints/*") if not p.name.startswith(".")):
    time.sleep(0.002)
stopped.send_signal(signal.SIGINT)
print("exit", stopped.wait())
print(sorted(p.name for p in Path("run/checkpoints").iterdir()))

# Models: two networks; a network of a library; one that a method's file registers; a small copy to pass on.
GAN = ["--images", "8", "--batch", "4"]
run(
    "train",
    "cyclegan",
    "--data",
    "data/sides",
    *TINY,
    *GAN,
    "--set",
    "blocks=1",
    "--set",
    "layers=1",
    "--out",
    "cyclegan",
)
run("train", "dcgan", "--data", "data/classes", *TINY, *GAN, "--set", "z=8", "--set", "layout=images", "--out", "dcgan")
run(
    "train",
    "acgan",
    "--data",
    "data/classes",
    "--device",
    "cpu",
    "--workers",
    "0",
    "--quiet",
    "--size",
    "16",
    *GAN,
    "--set",
    "z=8",
    "--set",
    "width=16",
    "--set",
    "d_width=2",
    "--out",
    "acgan",
)
run("models", "pack", "cyclegan", "--only", "F", "-o", "models/packed.safetensors")
for name in ("cyclegan", "dcgan", "acgan"):
    shutil.copy(f"{name}/model.safetensors", f"models/{name}.safetensors")
shutil.copy("whole/model.safetensors", "models/pix2pix.safetensors")

# What the models make.
for i in range(4):
    picture(Path("in", f"{i}.png"), 500 + i, 24, 20)
run("translate", "in", "-o", "finished", "--model", "models/pix2pix.safetensors", "--device", "cpu", "--quiet")
run("translate", "in", "-o", "half", "--model", "models/pix2pix.safetensors", "--device", "cpu", "--quiet")
record = Path("half/.i2i-manifest.jsonl").read_text().splitlines()
names = [json.loads(line)["output"] for line in record if json.loads(line)["state"] == "done"]
for name in sorted(names)[2:]:  # killed while the third output was about to land
    Path("half", name).unlink()
keep = [line for line in record if json.loads(line)["output"] in sorted(names)[:3]]
Path("half/.i2i-manifest.jsonl").write_text("\n".join(keep) + '\n{"input": "3.png", "outp')
Path("half/.i2i-00000000-99999-0badcafe.tmp").write_bytes(b"\x89PNG")
expected = {}
x = np.stack([np.asarray(Image.open(f"in/{i}.png")) for i in range(4)])
for name, direction in (("pix2pix", "AtoB"), ("cyclegan", "AtoB"), ("packed", "BtoA")):
    translator = i2i.load(f"models/{name}.safetensors", "cpu", direction=direction)
    expected[name] = np.stack([np.asarray(translator(Image.fromarray(p))) for p in x])
for name in ("dcgan", "acgan"):
    generator = i2i.generator(f"models/{name}.safetensors", "cpu")
    expected[name] = torch.stack(list(generator.pictures(range(4)))).numpy()
np.savez_compressed("expected.npz", **expected)

# Only what the test needs.
for path in sorted(Path("run/checkpoints").glob("00*"))[:-1]:
    shutil.rmtree(path)
for folder in ("whole", "cyclegan", "dcgan", "acgan", "data/sides", "data/classes"):
    shutil.rmtree(folder)
Path("run/report.html").unlink()
