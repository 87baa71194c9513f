"""Method files as users write them: one that is right, and what is wrong in others."""

from __future__ import annotations

RIGHT = '''"""A toy for pairs."""
from dataclasses import dataclass

import torch
from torch import nn

from i2i.methods import Batch, Method, Now, Terms


@dataclass(frozen=True)
class Settings:
    width: int = 4  # channels
    lr: float = 1e-3  # learning rate


class Generator(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 1), nn.Tanh())

    def forward(self, x):
        return self.layers(x)


class Toy(Method):
    Config = Settings

    def __init__(self, config, shape):
        super().__init__(config, shape)
        self.G = Generator(config.width)
        self.D = nn.Sequential(nn.Conv2d(6, 4, 3), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 1))

    def optimizers(self):
        return {n: torch.optim.Adam(getattr(self, n).parameters(), self.config.lr) for n in ("D", "G")}

    def step(self, batch, now):
        fake = self.G(batch.x)
        shown, real = torch.cat([batch.x, fake.detach()], 1), torch.cat([batch.x, batch.y], 1)
        yield "D", {"real": (self.D(real) - 1).square().mean(), "fake": self.D(shown).square().mean()}
        yield "G", {"l1": (fake - batch.y).abs().mean()}

    def infer(self, batch):
        return self.G(batch.x)
'''

STEP_D = """        yield "D", {"real": (self.D(real) - 1).square().mean(), "fake": self.D(shown).square().mean()}"""
STEP_G = """        yield "G", {"l1": (fake - batch.y).abs().mean()}"""
OPTIMIZERS = """return {n: torch.optim.Adam(getattr(self, n).parameters(), self.config.lr) for n in ("D", "G")}"""
DATACLASS = "@dataclass(frozen=True)\n"

# what is wrong: (text of RIGHT, what stands there instead)
WRONG: dict[str, tuple[str, str]] = {
    "no class": ("class Toy(Method):", "class _Toy(Method):"),
    "two classes": ("class Toy(Method):", "class Other(Method):\n    Config = Settings\n\n\nclass Toy(Method):"),
    "not derived from Method": ("class Toy(Method):", "class Toy(nn.Module):"),
    "no Config": ("    Config = Settings\n", ""),
    "Config is no dataclass": (DATACLASS, ""),
    "Config is not frozen": (DATACLASS, "@dataclass\n"),
    "a setting without a type": ("lr: float = 1e-3", "lr = 1e-3"),
    "a setting without a default": ("width: int = 4  # channels", "width: int"),
    "a setting of another type": ("    lr: float", "    betas: dict = None\n    lr: float"),
    "a default of the wrong type": ("width: int = 4", 'width: int = "wide"'),
    "an unknown type": ("width: int = 4", 'width: "Count" = 4'),
    "a setting that i2i has": ("width: int = 4", "batch: int = 4"),
    "a reserved word": ("width: int = 4", "method: int = 4"),
    "no step": ("def step(", "def stepp("),
    "no optimizers": ("def optimizers(", "def optimizer("),
    "no infer": ("def infer(", "def inference("),
    "averaged is a text": ("    Config = Settings\n", '    Config = Settings\n    averaged = ("G")\n'),
    "averaged names no network": ("    Config = Settings\n", '    Config = Settings\n    averaged = ("gen",)\n'),
    "no super().__init__": ("        super().__init__(config, shape)\n", ""),
    "an error in __init__": ("Generator(config.width)", "Generator(config.depth)"),
    "a network under a name of the contract": ("self.D = nn", "self.step = self.D = nn"),
    "optimizers gives an Adam": (OPTIMIZERS, "return torch.optim.Adam(self.parameters(), 1e-3)"),
    "optimizers gives networks": (OPTIMIZERS, 'return {"G": self.G}'),
    "one network, two optimizers": (OPTIMIZERS, "return {n: torch.optim.Adam(self.G.parameters()) for n in 'DG'}"),
    "a part of a network": (OPTIMIZERS, 'return {"G": torch.optim.Adam(self.G.layers[0].parameters())}'),
    "a parameter of no network": (
        OPTIMIZERS,
        'return {"G": torch.optim.Adam([*self.G.parameters(), nn.Parameter(torch.ones(1))])}',
    ),
    "step returns a dict": (STEP_D + "\n" + STEP_G, "        return {}"),
    "step returns nothing": (STEP_D + "\n" + STEP_G, ""),
    "step yields only terms": (STEP_G, STEP_G.replace('"G", ', "")),
    "step yields another name": (STEP_G, STEP_G.replace('"G"', '"gen"')),
    "step yields a loss without a name": (STEP_G, '        yield "G", (fake - batch.y).abs().mean()'),
    "step yields no terms": (STEP_G, '        yield "G", {}'),
    "a term that is no scalar": (STEP_G, STEP_G.replace(".mean()", "")),
    "a term that is a number": (STEP_G, STEP_G.replace(".mean()", ".mean().item()")),
    "a term without gradient": (STEP_G, STEP_G.replace("(fake -", "(fake.detach() -")),
    "a term of the other optimizer": (STEP_G, STEP_G.replace('"G", {', '"D", {')),
    "a graph that is used twice": (
        STEP_D + "\n" + STEP_G,
        "        loss = (fake - batch.y).square().mean()\n" + 2 * '        yield "G", {"l1": loss}\n',
    ),
    "a step without end": (STEP_D + "\n" + STEP_G, "        while True:\n    " + STEP_D),
    "a field that a batch has not": ("(fake - batch.y)", "(fake - batch.target)"),
    "shapes that do not fit": ("nn.Conv2d(6, 4, 3)", "nn.Conv2d(3, 4, 3)"),
    "infer gives one image": ("return self.G(batch.x)\n", "return self.G(batch.x)[0]\n"),
    "infer gives nothing": ("return self.G(batch.x)\n", "self.G(batch.x)\n"),
    "infer leaves the range": ("return self.layers(x)", "return 9 + self.layers(x)"),
    "infer does more than G": ("return self.G(batch.x)\n", "return -self.G(batch.x)\n"),
    "lr_factor gives nothing": (
        "    def infer",
        "    def lr_factor(self, fraction):\n        fraction\n\n    def infer",
    ),
    "preview gives a tensor": (
        "    def infer",
        "    def preview(self, batch):\n        return batch.x\n\n    def infer",
    ),
    "facts that JSON cannot hold": (
        "    def infer",
        "    @classmethod\n    def facts(cls, config):\n        return {'type': cls}\n\n    def infer",
    ),
    "a network of torch": (
        "self.G = Generator(config.width)",
        "self.G = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Tanh())",
    ),
    "a class inside of a function": (
        "        self.G = Generator(config.width)",
        "        class Inner(Generator):\n            pass\n\n        self.G = Inner(config.width)",
    ),
    "an argument that is an object": (
        "Generator(config.width)",
        "Generator(config)",
    ),
    "a network that is not its arguments": (
        "self.G = Generator(config.width)",
        "self.G = Generator(config.width)\n        self.G.layers.append(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Tanh()))",
    ),
    "a forward that changes later": (
        "self.G = Generator(config.width)",
        "self.G = Generator(config.width)\n        self.G.sign = -1.0",
    ),
    "a syntax error": ("def step(self, batch, now):", "def step(self, batch, now)"),
    "an error on import": ("class Toy(Method):", "1 / 0\n\n\nclass Toy(Method):"),
    "an import of version 0.1": ("from i2i.methods import", "from i2i.method import"),
    "another import of version 0.1": ("from i2i.methods import", "from i2i import kinds\nfrom i2i.methods import"),
    "it ends the program": ("class Toy(Method):", "raise SystemExit\n\n\nclass Toy(Method):"),
}
EXTRA = {
    "a forward that changes later": ("return self.layers(x)", 'return getattr(self, "sign", 1.0) * self.layers(x)'),
    "an argument that is an object": ("nn.Conv2d(3, width,", "nn.Conv2d(3, getattr(width, 'width', width),"),
}
EXTRA2 = {"an argument that is an object": ("nn.Conv2d(width, 3", "nn.Conv2d(getattr(width, 'width', width), 3")}


# what i2i says of it
SENTENCES = {
    "no class": (
        "toy.py defines no method: no class in it derives from i2i.methods.Method. `i2i methods new NAME` "
        "writes a method to start from."
    ),
    "two classes": (
        "toy.py defines 2 methods, Other (line 25) and Toy (line 29), but a method is a file. Move the others"
        " into files of their own, or begin the name of a base class with an underscore."
    ),
    "not derived from Method": (
        "Toy (toy.py, line 25) does not derive from i2i.methods.Method. Write `class Toy(Method):`, and `from"
        " i2i.methods import Batch, Method, Now, Terms`."
    ),
    "no Config": (
        "Toy (toy.py, line 25) has no Config. Add `Config = Settings`, a frozen dataclass with its settings."
    ),
    "Config is no dataclass": (
        "The Config of Toy (toy.py, line 10) is not a dataclass. Put `@dataclass(frozen=True)` above it."
    ),
    "Config is not frozen": (
        "The Config of Toy (toy.py, line 10) is not frozen. Write `@dataclass(frozen=True)` above it."
    ),
    "a setting without a type": (
        "lr in the Config of Toy (toy.py, line 13) has no type, so it is not a setting. Write `lr: float = 0.001`."
    ),
    "a setting without a default": (
        "width in the Config of Toy (toy.py, line 12) has no default value. Write one after the type: `width:"
        " int = ...`."
    ),
    "a setting of another type": (
        "betas in the Config of Toy (toy.py, line 13) has the type dict, which no setting can have. Allowed: "
        "int, float, bool, str, a tuple of one of them such as tuple[int, ...], and `| None` beside them."
    ),
    "a default of the wrong type": (
        "width in the Config of Toy (toy.py, line 12) has the default 'wide'. It must be a whole number."
    ),
    "an unknown type": (
        "A type in the Config of Toy (toy.py, line 10) is unknown: name 'Count' is not defined. Allowed: int,"
        " float, bool, str, a tuple of one of them such as tuple[int, ...], and `| None` beside them."
    ),
    "a setting that i2i has": (
        "Your method's Config has a setting 'batch' (toy.py, line 12), which i2i itself uses for training. "
        "Rename yours."
    ),
    "a reserved word": (
        "Your method's Config has a setting 'method' (toy.py, line 12), which i2i itself uses for training. "
        "Rename yours."
    ),
    "no step": (
        'Toy (toy.py, line 25) has no step(self, batch, now). For example: yield "G", {"l1": '
        "l1(self.G(batch.x), batch.y)}"
    ),
    "no optimizers": (
        'Toy (toy.py, line 25) has no optimizers(self). For example: return {"G": adam(self.G, lr=2e-4, beta1=0.5)}'
    ),
    "no infer": ("Toy (toy.py, line 25) has no infer(self, batch). For example: return self.G(batch.x)"),
    "averaged is a text": (
        "averaged of Toy (toy.py, line 25) is the text 'G', not a tuple. Write `averaged = (\"G\",)`, with the comma."
    ),
    "averaged names no network": (
        "Toy (toy.py, line 25) has no network 'gen', which averaged names; its networks are G and D. Name "
        'those that a saved model needs, the translating or generating one first: averaged = ("G",)'
    ),
    "no super().__init__": (
        "toy.py, line 29, in __init__: AttributeError: cannot assign module before Module.__init__() call. "
        "Call super().__init__(config, shape) first."
    ),
    "an error in __init__": (
        "toy.py, line 30, in __init__: AttributeError: 'Settings' object has no attribute 'depth'. A Settings"
        " has width, lr."
    ),
    "a network under a name of the contract": (
        "Toy (toy.py, line 25) calls a network 'step', a name that Method uses itself. Rename the network."
    ),
    "optimizers gives an Adam": (
        "optimizers() of Toy (toy.py, line 33) returns an Adam. It must return a dict {name: optimizer}, such"
        ' as {"D": ..., "G": ...}.'
    ),
    "optimizers gives networks": (
        "optimizers() of Toy (toy.py, line 33) has a Generator under 'G'. Each value must be a "
        "torch.optim.Optimizer, by a name."
    ),
    "one network, two optimizers": (
        "optimizers() of Toy (toy.py, line 33) gives parameters of G to both 'D' and 'G'. Each network must "
        "belong to one optimizer."
    ),
    "a part of a network": (
        "optimizers() of Toy (toy.py, line 33) gives 'G' only a part of the network G. An optimizer owns "
        "whole networks; parts with another learning rate are parameter groups of it."
    ),
    "a parameter of no network": (
        "optimizers() of Toy (toy.py, line 33) gives 'G' a parameter that belongs to no network of the "
        "method. Put the parameter into an nn.Module, and assign that in __init__: self.G = ..."
    ),
    "step returns a dict": (
        "step of Toy (toy.py, line 36) returns a dict; it must be a generator. Yield each optimizer's turn: "
        'yield "G", {"l1": l1(self.G(batch.x), batch.y)}'
    ),
    "step returns nothing": (
        "step of Toy (toy.py, line 36) returns nothing; it must be a generator. Yield each optimizer's turn: "
        'yield "G", {"l1": l1(self.G(batch.x), batch.y)}'
    ),
    "step yields only terms": (
        "toy.py, line 40: step yields a dict; it must yield an optimizer's name and its terms. For example: "
        'yield "G", {"l1": l1(self.G(batch.x), batch.y)}'
    ),
    "step yields another name": (
        "toy.py, line 40: step yields 'gen', but optimizers() has no optimizer of that name. It has 'D' and 'G'."
    ),
    "step yields a loss without a name": (
        "toy.py, line 40: step yields a Tensor as the terms of 'G'. The terms are a dict {term: loss}, such "
        'as {"l1": loss}.'
    ),
    "step yields no terms": (
        "toy.py, line 40: step yields an empty dict as the terms of 'G'. The terms are a dict {term: loss}, "
        'such as {"l1": loss}.'
    ),
    "a term that is no scalar": (
        "toy.py, line 40: the term 'l1' of 'G' has the shape [1, 3, 16, 16]; a term is a scalar. Take its "
        "mean: loss.mean()"
    ),
    "a term that is a number": (
        "toy.py, line 40: the term 'l1' of 'G' is a float, not a tensor. Yield the loss itself, without "
        "item() or float()."
    ),
    "a term without gradient": (
        "toy.py, line 40: the term 'l1' of 'G' has no gradient. Compute it from the network's output, without"
        " detach(), item() and torch.no_grad()."
    ),
    "a term of the other optimizer": (
        "toy.py, line 40: the term 'l1' has no gradient for the parameters of optimizer 'D'. Yield it with "
        "the optimizer whose networks it trains, or compute it from those of 'D'."
    ),
    "a graph that is used twice": (
        "toy.py, line 41: the loss of 'G' has no backward pass: Trying to backward through the graph a second"
        " time (or directly access saved tensors after they have already been freed). Detach what an earlier "
        "yield has used, or compute it again."
    ),
    "a step without end": (
        "toy.py, line 40: step does not end; it has yielded 250 times. A step handles one batch; the loop "
        "calls it for each."
    ),
    "a field that a batch has not": (
        "toy.py, line 40, in step: AttributeError: 'Batch' object has no attribute 'target'. A Batch has x, y, c, ids."
    ),
    "shapes that do not fit": (
        "toy.py, line 39, in step: RuntimeError: Given groups=1, weight of size [4, 3, 3, 3], expected "
        'input[1, 6, 16, 16] to have 3 channels, but got 6 channels instead. The line is: yield "D", {"real":'
        ' (self.D(real) - 1).square().mean(), "fake": self.D(shown).square().mean()}'
    ),
    "infer gives one image": (
        "infer of Toy (toy.py, line 42) returns the shape [3, 16, 16]. It must be [1, 3, H, W] for this batch."
    ),
    "infer gives nothing": (
        "infer of Toy (toy.py, line 42) returns None. It must return a tensor of images [B, C, H, W]."
    ),
    "infer leaves the range": (
        "infer of Toy (toy.py, line 42) returns values from 8.53 to 9.61. Images lie in [-1, 1]: let the "
        "generator end with nn.Tanh(), or clamp them in its forward."
    ),
    "infer does more than G": (
        "infer of Toy (toy.py, line 42) gives other images than G(batch.x), which is what a saved model "
        "computes. Move what infer adds into the forward of G."
    ),
    "lr_factor gives nothing": (
        "lr_factor(0) of Toy (toy.py, line 42) returns None. It must return a number of 0 or more, which "
        "multiplies every learning rate."
    ),
    "preview gives a tensor": ("preview of Toy (toy.py, line 42) returns a Tensor. It must return {title: images}."),
    "facts that JSON cannot hold": (
        "facts(config) of Toy (toy.py, line 42) returns what JSON cannot hold: Object of type type is not "
        "JSON serializable. Return numbers, texts, yes/no, lists and dicts."
    ),
    "a network of torch": (
        "G of Toy (toy.py, line 25) is a Sequential of torch, which a saved model cannot build again. Put it "
        "into a class of your own whose __init__ makes it: class Generator(nn.Module): ..."
    ),
    "a class inside of a function": (
        "Inner (toy.py, line 30) is defined inside of Toy.__init__.<locals>, where a saved model cannot find "
        "it. Define the class at the top level of the file."
    ),
    "an argument that is an object": (
        "Generator (toy.py, line 16) cannot be saved: its argument width holds a value that JSON cannot "
        "(Settings). Use numbers, texts, booleans, None, and lists or dicts of them."
    ),
    "a network that is not its arguments": (
        "Generator (toy.py, line 16) cannot be built again from a saved model: The tensors of network G in a "
        "saved model do not fit: 2 unknown (such as layers.3.0.bias). A new Generator with the same arguments "
        "must have the same layers: make them in __init__."
    ),
    "a forward that changes later": (
        "G of Toy (toy.py, line 25) gives other images once it is saved and built again. Everything its "
        "forward uses must be a parameter, a registered buffer, or follow from its arguments."
    ),
    "a syntax error": ("toy.py, line 36: SyntaxError: expected ':'. Correct this line, then try again."),
    "an error on import": ("toy.py, line 25, in <module>: ZeroDivisionError: division by zero. The line is: 1 / 0"),
    "an import of version 0.1": (
        "toy.py, line 7: i2i.method is i2i.methods since version 0.2. Write `from i2i.methods import Batch, "
        "Method, Now, Terms`."
    ),
    "another import of version 0.1": (
        "toy.py, line 7: i2i.kinds is i2i.methods since version 0.2. Write `from i2i.methods import Batch, "
        "Method, Now, Terms`."
    ),
    "it ends the program": (
        'toy.py ends the program while it is imported. Put such code below `if __name__ == "__main__":`.'
    ),
}


def wrong(name: str) -> str:
    """The text of a wrong file."""
    old, new = WRONG[name]
    text = RIGHT
    for change in ((old, new), EXTRA.get(name), EXTRA2.get(name)):
        if change is not None:
            assert change[0] in text, change
            text = text.replace(*change)
    return text


NOISE = """
from dataclasses import dataclass
from torch import nn
from i2i.losses import hinge
from i2i.methods import Generate, adam_pair


@dataclass(frozen=True)
class Settings:
    z: int = 8  # numbers in the noise
    noise: str = "normal"
    lr: float = 1e-3


class Generator(nn.Sequential):
    def __init__(self, z, channels, size):
        super().__init__(nn.Linear(z, channels * size * size), nn.Unflatten(1, (channels, size, size)), nn.Tanh())


class Toy(Generate):
    Config = Settings

    def __init__(self, config, shape):
        super().__init__(config, shape)
        self.G = Generator(config.z, shape.channels_in, shape.size)
        self.D = nn.Sequential(nn.Flatten(), nn.Linear(shape.channels_in * shape.size**2, 1), nn.Flatten(0))

    def optimizers(self):
        return adam_pair(self.D, self.G, self.config.lr, 0.5)

    def step(self, batch, now):
        fake = self.G(self.draw(batch, now, "G"))
        yield "D", {"real": hinge.real(self.D(batch.x)), "fake": hinge.fake(self.D(fake.detach()))}
        yield "G", {"adv": hinge.adv(self.D(fake))}
"""

TWO_WAY = """
from dataclasses import dataclass
from torch import nn
from i2i.losses import l1
from i2i.methods import TwoWay, adam


@dataclass(frozen=True)
class Settings:
    lr: float = 1e-3


class Net(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, *, slope: float = -2.0):
        super().__init__()
        self.conv, self.slope = nn.Conv2d(channels_in, channels_out, 3, padding=1), slope

    def forward(self, x):
        return (self.slope * self.conv(x)).tanh()


class Toy(TwoWay):
    Config = Settings

    def __init__(self, config, shape):
        super().__init__(config, shape)
        self.G, self.F = Net(shape.channels_in, shape.channels_out), Net(shape.channels_out, shape.channels_in)

    def optimizers(self):
        return {"G": adam([self.G, self.F], self.config.lr, 0.5)}

    def step(self, batch, now):
        yield "G", {"x": l1(self.F(self.G(batch.x)), batch.x), "y": l1(self.G(self.F(batch.y)), batch.y)}
"""

PIX2PIX = '''
from dataclasses import dataclass
from i2i.losses import l1
from i2i.methods.pix2pix import Pix2Pix, Pix2PixSettings


@dataclass(frozen=True)
class Settings(Pix2PixSettings):
    edges: float = 1.0  # weight of the distance of neighbours' differences
    width: int = 4
    d_width: int = 4
    layers: int = 1
    norm: str = "instance"


class Toy(Pix2Pix):
    """pix2pix with a loss on edges."""

    Config = Settings

    def step(self, batch, now):
        for name, terms in super().step(batch, now):
            if name == "G":
                fake = self.G(batch.x)
                terms["edges"] = self.config.edges * l1(fake.diff(dim=3), batch.y.diff(dim=3))
            yield name, terms
'''

REGISTERED = RIGHT.replace("class Generator(nn.Module):", '@register("toy_g")\nclass Generator(Network):').replace(
    "from i2i.methods import", "from i2i.nets import Network, register\nfrom i2i.methods import"
)
OTHER_NAMES = (
    RIGHT.replace("self.G", "self.gen")
    .replace("self.D", "self.disc")
    .replace(
        'getattr(self, n).parameters(), self.config.lr) for n in ("D", "G")',
        'net.parameters()) for n, net in (("D", self.disc), ("G", self.gen))',
    )
    .replace("    Config = Settings\n", '    Config = Settings\n    averaged = ("gen",)\n')
)
RIGHT_FILES = {
    "own modules": RIGHT,
    "a registered network": REGISTERED,
    "pix2pix with one more loss": PIX2PIX,
    "from noise": NOISE,
    "two ways": TWO_WAY,
    "networks of other names": OTHER_NAMES,
}
