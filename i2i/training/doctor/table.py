"""The table of signs: their names, which never change (log.jsonl and `--json` hold them), and what each means."""

from __future__ import annotations

SIGNS = {
    "alike": "all outputs look alike (mode collapse)",
    "mean": "every output is the mean target",
    "copies": "outputs are copies of training images",
    "no-op": "the output is the input: nothing happened",
    "inversion": "the output is a negative of the input",
    "black": "outputs are black",
    "white": "outputs are white",
    "flat": "outputs have one color",
    "checkerboard": "a checkerboard lies over the outputs",
    "color": "the colors are not those of the other side",
    "D wins": "the discriminator is never wrong",
    "oscillation": "the losses swing more and more",
    "overfitting": "the pairs are learned by heart",
    "explosion": "a loss grows without end",
    "weights": "weights grow without end",
    "gradients": "gradients grow without end",
    "slow data": "training waits for images",
    "dead data": "the images do not change, or do not come",
}
PIXELS = ("alike", "mean", "no-op", "inversion", "black", "white", "flat", "checkerboard", "color")
GENERATED = ("black", "white", "flat", "checkerboard")  # of PIXELS, those of images from noise; spread is judged apart
CURVES = ("D wins", "oscillation", "overfitting", "explosion", "weights", "gradients", "slow data", "dead data")
