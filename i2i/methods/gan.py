"""GAN: Generative Adversarial Nets.

Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio, 2014, arXiv 1406.2661. Perceptrons play

    min_G max_D  V = E log D(x) + E log(1 - D(G(z)))        (equation 1)

What is unusual: the best D is p_data / (p_data + p_g) (proposition 1), and then V = 2 JSD(p_data, p_g) - log 4 (theorem
1). G's part of V dies where D is sure, so G minimises -log D(G(z)) instead (end of section 3), which has the same fixed
point and a gradient that lives: `loss` vanilla is that form, minimax the one of V. The networks and numbers are those
of the authors' code for MNIST: maxout layers and dropout in D, gradient descent whose momentum rises. Images lie in
[-1, 1] behind a tanh instead of [0, 1] behind a sigmoid, which is the same but for a scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch.optim import Optimizer

from i2i.core.config import Count, NonNegative, UnderOne
from i2i.losses.adversarial import Adversarial, adversarial
from i2i.methods import Batch, Generate, Now, Shape, Terms, sgd_or_adam_pair
from i2i.nets import MLPDiscriminator, MLPGenerator
from i2i.nets.blocks import check
from i2i.nets.mlp import uniform_weights


@dataclass(frozen=True)
class GANSettings:
    """Settings of the GAN; the defaults are those of the authors' code."""

    z: Count = 100  # numbers in the noise
    noise: str = "cube"  # cube (uniform of variance 1), uniform (on [-1, 1]), normal
    hidden: tuple[Count, ...] = (1200, 1200)  # units in G's layers
    d_hidden: tuple[Count, ...] = (240, 240)  # units in D's layers
    pieces: Count = 5  # linear pieces of D's maxout units; 1: leaky ReLU instead
    slope: NonNegative = 0.0  # leaky ReLU's slope below 0; 0: ReLU
    norm: bool = False  # batch norm in G, but in its first layer
    dropout: UnderOne = 0.5  # share of D's hidden units left out
    input_dropout: UnderOne = 0.2  # share of D's inputs left out
    spread: NonNegative = 0.05  # G's first weights are uniform on +-spread; 0: torch's own
    d_spread: NonNegative = 0.005  # the same for D
    loss: str = "vanilla"  # vanilla (G maximises log D(G(z))), minimax (G minimises log(1 - D(G(z))))
    optimizer: str = "sgd"  # sgd (falling to 0.55 of its rate), adam (beta1 as momentum)
    lr: NonNegative = 0.1  # learning rate of both
    momentum: UnderOne = 0.5  # of gradient descent at first; of Adam the first one, beta1
    last_momentum: UnderOne = 0.7  # of gradient descent at the end of the run, to which it rises in a straight line


class GAN(Generate):
    """The first GAN: two perceptrons."""

    Config = GANSettings
    config: GANSettings
    tiny = {"z": 8, "hidden": (16, 16), "d_hidden": (8, 8), "size": 16}
    loss: Adversarial

    def __init__(self, config: GANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        channels, size = shape.channels_in, shape.size
        g = MLPGenerator(config.z, channels, size, config.hidden, config.slope, config.norm)
        d = MLPDiscriminator(
            channels, size, config.d_hidden, config.pieces, config.slope, config.dropout, config.input_dropout
        )
        self.G, self.D = uniform_weights(g, config.spread), uniform_weights(d, config.d_spread)
        check("loss", config.loss, ("vanilla", "minimax"))
        check("optimizer", config.optimizer, ("sgd", "adam"))
        self.loss = adversarial(config.loss)

    def optimizers(self) -> dict[str, Optimizer]:
        """Gradient descent (or Adam) for D, and for G."""
        c = self.config
        return sgd_or_adam_pair(self.D, self.G, c.optimizer, c.lr, c.momentum)

    def lr_factor(self, fraction: float) -> float:
        """1.000004 to the power of minus the steps, over the authors' 250 epochs of MNIST: down to 0.55."""
        return 1.0 if self.config.optimizer == "adam" else float(0.55**fraction)

    def momentum_at(self, fraction: float) -> float | None:
        """In a straight line from the first to the last, as the authors' over 250 epochs."""
        c = self.config
        return None if c.optimizer == "adam" else c.momentum + (c.last_momentum - c.momentum) * fraction

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D first, then G against the updated D on the same noise."""
        real = batch.x
        fake = self.G(self.draw(batch, now, "G"))

        yield "D", {"real": self.loss.real(self.D(real)), "fake": self.loss.fake(self.D(fake.detach()))}

        yield "G", {"adv": self.loss.adv(self.D(fake))}
