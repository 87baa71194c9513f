"""pix2pix and CycleGAN as a textbook would write them: eager, default layouts, line by line.

The yardstick of train_step.py and nothing else: it shares no code with i2i, so that what i2i saves can be seen.
Modules are created in the order in which i2i creates them, so that weights can be copied over by position. Each `step`
returns {optimizer/term: loss}. `width` and `d_width` are channels of the first or last layers of generator and
discriminator.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn


def norm_layer(kind: str, width: int) -> nn.Module:
    return nn.BatchNorm2d(width) if kind == "batch" else nn.InstanceNorm2d(width)


class UNetBlock(nn.Module):
    def __init__(self, outer: int, inner: int, below: nn.Module | None, norm: str, place: str, c_in: int = 0) -> None:
        super().__init__()
        bias = norm == "instance"
        self.place = place
        down: list[nn.Module] = [] if place == "outermost" else [nn.LeakyReLU(0.2)]
        down.append(nn.Conv2d(c_in or outer, inner, 4, 2, 1, bias=bias))
        up: list[nn.Module] = [nn.ReLU()]
        if place == "outermost":
            up += [nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1), nn.Tanh()]
        elif place == "innermost":
            up += [nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=bias), norm_layer(norm, outer)]
        else:
            down.append(norm_layer(norm, inner))
            up += [nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1, bias=bias), norm_layer(norm, outer)]
        self.model = nn.Sequential(*down, *([below] if below else []), *up)

    def forward(self, x: Tensor) -> Tensor:
        if self.place == "outermost":
            return self.model(x)
        return torch.cat([x, self.model(x)], 1)


def unet(depth: int = 8, width: int = 64, norm: str = "batch") -> nn.Module:
    block = UNetBlock(8 * width, 8 * width, None, norm, "innermost")
    for _ in range(depth - 5):
        block = UNetBlock(8 * width, 8 * width, block, norm, "middle")
    for factor in (4, 2, 1):
        block = UNetBlock(factor * width, 2 * factor * width, block, norm, "middle")
    return UNetBlock(3, width, block, norm, "outermost", c_in=3)


class ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width), nn.ReLU(),
            nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def resnet(blocks: int = 9, width: int = 64) -> nn.Module:
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.InstanceNorm2d(width), nn.ReLU()]
    for w in (width, 2 * width):
        layers += [nn.Conv2d(w, 2 * w, 3, 2, 1), nn.InstanceNorm2d(2 * w), nn.ReLU()]
    layers += [ResidualBlock(4 * width) for _ in range(blocks)]
    for w in (4 * width, 2 * width):
        layers += [nn.ConvTranspose2d(w, w // 2, 3, 2, 1, 1), nn.InstanceNorm2d(w // 2), nn.ReLU()]
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
    return nn.Sequential(*layers)


def patchgan(channels: int, width: int = 64, norm: str = "batch") -> nn.Module:
    bias = norm == "instance"
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    for i in range(1, 4):
        before, after = width * 2 ** (i - 1), width * 2**i
        layers += [nn.Conv2d(before, after, 4, 2 if i < 3 else 1, 1, bias=bias), norm_layer(norm, after)]
        layers.append(nn.LeakyReLU(0.2))
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))


class Pix2Pix:
    """One step of pix2pix: D, then G."""

    def __init__(self, size: int = 256, width: int = 64, d_width: int = 64) -> None:
        depth = size.bit_length() - 1
        self.G, self.D = unet(depth, width), patchgan(6, d_width)
        self.networks = {"G": self.G, "D": self.D}
        self.optimizer_G = torch.optim.Adam(self.G.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.optimizer_D = torch.optim.Adam(self.D.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.bce, self.l1 = nn.BCEWithLogitsLoss(), nn.L1Loss()

    def step(self, x: Tensor, y: Tensor, autocast: bool = False) -> dict[str, float]:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
            fake = self.G(x)
            fake_score = self.D(torch.cat([x, fake.detach()], 1))
            real_score = self.D(torch.cat([x, y], 1))
            d_fake = self.bce(fake_score, torch.zeros_like(fake_score))
            d_real = self.bce(real_score, torch.ones_like(real_score))
            d = 0.5 * (d_fake + d_real)
        self.optimizer_D.zero_grad()
        d.backward()
        self.optimizer_D.step()

        with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
            score = self.D(torch.cat([x, fake], 1))
            adv = self.bce(score, torch.ones_like(score))
            l1 = 100.0 * self.l1(fake, y)
            g = adv + l1
        self.optimizer_G.zero_grad()
        g.backward()
        self.optimizer_G.step()
        return {"D/all": d.item(), "G/adv": adv.item(), "G/l1": l1.item()}


class Pool:
    """The image history of Shrivastava et al."""

    def __init__(self, size: int = 50) -> None:
        self.size, self.images = size, []

    def query(self, images: Tensor) -> Tensor:
        out = []
        for image in images.unsqueeze(1):
            if len(self.images) < self.size:
                self.images.append(image)
                out.append(image)
            elif random.random() > 0.5:
                i = random.randint(0, self.size - 1)
                out.append(self.images[i])
                self.images[i] = image
            else:
                out.append(image)
        return torch.cat(out)


class CycleGAN:
    """One step of CycleGAN: both generators, then both discriminators."""

    def __init__(self, size: int = 256, width: int = 64, d_width: int = 64) -> None:
        self.G, self.F = resnet(9, width), resnet(9, width)
        self.D_x, self.D_y = patchgan(3, d_width, "instance"), patchgan(3, d_width, "instance")
        self.networks = {"G": self.G, "F": self.F, "D_x": self.D_x, "D_y": self.D_y}
        generators = [*self.G.parameters(), *self.F.parameters()]
        discriminators = [*self.D_x.parameters(), *self.D_y.parameters()]
        self.optimizer_G = torch.optim.Adam(generators, lr=2e-4, betas=(0.5, 0.999))
        self.optimizer_D = torch.optim.Adam(discriminators, lr=2e-4, betas=(0.5, 0.999))
        self.mse, self.l1 = nn.MSELoss(), nn.L1Loss()
        self.pool_x, self.pool_y = Pool(), Pool()

    def gan(self, score: Tensor, real: bool) -> Tensor:
        return self.mse(score, torch.ones_like(score) if real else torch.zeros_like(score))

    def step(self, x: Tensor, y: Tensor, autocast: bool = False) -> dict[str, float]:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
            fake_y = self.G(x)
            back_x = self.F(fake_y)
            fake_x = self.F(y)
            back_y = self.G(fake_x)
            identity = 5.0 * (self.l1(self.G(y), y) + self.l1(self.F(x), x))
            adv_y = self.gan(self.D_y(fake_y), True)
            adv_x = self.gan(self.D_x(fake_x), True)
            cycle = 10.0 * (self.l1(back_x, x) + self.l1(back_y, y))
            g = adv_x + adv_y + cycle + identity
        self.optimizer_G.zero_grad()
        g.backward()
        self.optimizer_G.step()

        self.optimizer_D.zero_grad()
        losses = {}
        for name, D, real, fake in (
            ("y", self.D_y, y, self.pool_y.query(fake_y.detach())),
            ("x", self.D_x, x, self.pool_x.query(fake_x.detach())),
        ):
            with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
                d = 0.5 * (self.gan(D(real), True) + self.gan(D(fake), False))
            d.backward()
            losses[f"D/{name}"] = d.item()
        self.optimizer_D.step()
        terms = {"adv_x": adv_x, "adv_y": adv_y, "cycle": cycle, "identity": identity}
        return losses | {f"G/{k}": v.item() for k, v in terms.items()}
