"""What the loss terms mean, in a sentence or two each, for the report: what the curve is, and which way is good.

A method adds its own in `term_notes`, or replaces these: {"adv": ...} for every optimizer, {"G/cls": ...} for one. A
term of a side, such as adv_x, is explained as adv.
"""

from __future__ import annotations

from collections.abc import Mapping

SIDES = ("_x", "_y")

TERM_NOTES = {
    "real": "The discriminator's loss on real images. Good: it stays in balance with the loss on fakes. Near 0 for "
    "long, the discriminator wins, and the generator learns little.",
    "fake": "The discriminator's loss on images that the generator made. Good: it stays in balance with the loss on "
    "real images.",
    "adv": "How far the generator is from fooling the discriminator. Good: level; a steady rise means that the "
    "discriminator wins. It does not say how good the images look.",
    "l1": "Mean absolute distance to the true image, times its weight. Lower is better.",
    "pixel": "Distance to the true image, pixel by pixel, times its weight. Lower is better.",
    "feature": "Distance to the true image in the maps of a trained network, times its weight. Lower is better.",
    "cycle": "Distance between an image and itself after there and back, times its weight. Lower is better.",
    "identity": "How much a generator changes an image that is of its target side already, times its weight. Lower is "
    "better.",
    "features": "Distance between the discriminator's features of the output and of the true image, times its weight. "
    "Lower is better, but the features change with the discriminator.",
    "perceptual": "Distance between a trained network's features of the output and of the true image, times its "
    "weight. Lower is better.",
    "gp": "Gradient penalty, which keeps the slope of the discriminator near 1. Good: small and level.",
    "r1": "R1 penalty, the slope of the discriminator at real images. Good: small and level.",
    "drift": "Penalty that keeps the critic's scores near 0. Good: near 0.",
}

WASSERSTEIN = {
    "real": "Minus the critic's mean score of real images. Alone it says nothing: minus (real + fake) estimates the "
    "distance between real and generated images. Good: that distance falls.",
    "fake": "The critic's mean score of generated images. Alone it says nothing: minus (real + fake) estimates the "
    "distance between real and generated images. Good: that distance falls.",
    "adv": "Minus the critic's mean score of generated images. Scores have no fixed zero, so neither way is good: look "
    "at the samples.",
}

OTHER_NOTES = {
    "score": "Score of the averaged weights on images that stay the same: LPIPS of held-out pairs, or KID of sets of "
    "images. Lower is better; the lowest marks the best checkpoint and best.safetensors.",
    "samples/spread": "How much the samples differ from each other, as a share of how much real images do. Good: near "
    "1. Near 0, the generator makes the same few images (collapse).",
    "samples/nearest": "How near the samples are to single training images, as a share of how near held-out images are."
    " Good: near 1. Near 0, they may be copies.",
    "rate": "The learning rate, as the schedule says. Nothing to judge.",
    "images/s": "Training images a second. Higher is faster; a fall means that something else needs the machine.",
}


def note_of(name: str, own: Mapping[str, str] | None = None) -> str:
    """What a curve means: "G/adv_x", "rate/D", "score". own: `term_notes` of the method."""
    notes = {**TERM_NOTES, **OTHER_NOTES, **(own or {})}
    owner, _, term = name.rpartition("/")
    bare = term[:-2] if term.endswith(SIDES) else term
    for key in (name, term, f"{owner}/{bare}", bare, owner):
        if key in notes:
            return notes[key]
    return f"A term of what {owner or 'it'} makes small. Lower is better for {owner or 'it'} alone."
