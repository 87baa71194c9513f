"""How a generator is compressed: six switches, and the rows of the lecture's table as values of them."""

from __future__ import annotations

from dataclasses import dataclass

from i2i.core.errors import I2IError, among

OBJECTIVES = ("gaps", "plain", "match", "plain+match", "play", "features")


@dataclass(frozen=True)
class Plan:
    """What a compression run starts from, prunes and minimizes.

    objective: gaps: the relative gaps of all terms, of both networks (Yu and Pool 2020, arXiv 2007.01491). plain: the
    training of the original. match: the gaps of the generator's terms alone. plain+match: both. play: plain, where the
    discriminator also sees the original's images as fakes. features: the distance of feature maps."""

    title: str = "self-supervised"
    init_g: str = "dense"  # dense: the original's weights; random
    form: str = "same"  # same: the original's layers; narrow: a dense network with as many weights as stay
    masks: str = "gradual"  # none, one-shot, gradual
    granularity: str = "elements"  # elements, 2:4
    sparsity: float = 0.5  # share of the weights that go
    start: float = 0.05  # share at the start of gradual pruning
    end: float = 0.5  # part of the run at whose end the share is reached
    init_d: str = "trained"  # trained, random, none
    freeze_d: bool = False
    prune_d: bool = False
    objective: str = "gaps"
    lambda_d: float = 0.5  # weight of the discriminator's gaps

    def check(self) -> None:
        """Raises I2IError for a value that is not allowed."""
        if not 0 < self.sparsity < 1:
            raise I2IError(
                f"The sparsity is {self.sparsity:g}.", "Give a number between 0 and 1: the share of weights to remove."
            )
        if self.granularity == "2:4" and self.sparsity != 0.5:
            raise I2IError(
                f"The sparsity is {self.sparsity:g}, and the pattern 2:4 removes one half.", "Give --sparsity 0.5."
            )
        if self.objective not in OBJECTIVES:
            raise I2IError(f"The objective is {self.objective!r}.", among(self.objective, OBJECTIVES))


ROWS: dict[str, Plan] = {
    "a": Plan("dense, trained anew", init_g="random", masks="none", init_d="random", objective="plain"),
    "b": Plan(),
    "c": Plan("small dense", init_g="random", form="narrow", masks="none", init_d="random", objective="plain"),
    "d": Plan("one-shot, fine-tuned", masks="one-shot", objective="plain"),
    "e": Plan("gradual, fine-tuned", init_d="random", objective="plain"),
    "f": Plan("gradual, from scratch", init_g="random", init_d="random", objective="plain"),
    "g": Plan("one-shot, distilled", masks="one-shot", init_d="none", objective="match"),
    "h": Plan("(d) and distillation", masks="one-shot", objective="plain+match"),
    "i": Plan("(g) and original loss", masks="one-shot", freeze_d=True, objective="plain"),
    "j": Plan("adversarial learning", init_g="random", init_d="random", objective="play"),
    "k": Plan("knowledge distillation", init_d="random", objective="match"),
    "l": Plan("features only (LIT)", form="narrow", masks="none", freeze_d=True, objective="features"),
    "m": Plan("E-M pruning", prune_d=True, masks="one-shot", objective="plain+match"),
    "n": Plan("both pruned", prune_d=True, objective="plain+match"),
}
"""The rows of the table of Yu and Pool. Rows j to m quote other methods, of which the table gives the marks and no
details; what they do here is our reading of the marks."""
