"""DCGAN and SN-GAN as a textbook would write them, as plain.py has pix2pix and CycleGAN; each `draw`s its noise."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def dcgan_generator(z: int, size: int, width: int) -> nn.Module:
    w = width * size // 8
    layers: list[nn.Module] = [nn.ConvTranspose2d(z, w, 4, bias=False), nn.BatchNorm2d(w), nn.ReLU()]
    while w > width:
        layers += [nn.ConvTranspose2d(w, w // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(w // 2), nn.ReLU()]
        w //= 2
    return nn.Sequential(*layers, nn.ConvTranspose2d(w, 3, 4, 2, 1, bias=False), nn.Tanh())


def dcgan_discriminator(size: int, width: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    w = width
    while w < width * size // 8:
        layers += [nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * w), nn.LeakyReLU(0.2)]
        w *= 2
    return nn.Sequential(*layers, nn.Conv2d(w, 1, 4, bias=False))


class DCGAN:
    """One step of DCGAN: D, then G on the same noise. y is not looked at."""

    def __init__(self, size: int = 64, width: int = 64, d_width: int = 64, z: int = 100) -> None:
        self.z, self.G, self.D = z, dcgan_generator(z, size, width), dcgan_discriminator(size, d_width)
        self.networks = {"G": self.G, "D": self.D}
        self.optimizer_G = torch.optim.Adam(self.G.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.optimizer_D = torch.optim.Adam(self.D.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.bce = nn.BCEWithLogitsLoss()

    def draw(self, x: Tensor, salt: str) -> Tensor:
        return torch.randn(len(x), self.z, device=x.device)

    def step(self, x: Tensor, y: Tensor, autocast: bool = False) -> dict[str, float]:
        z = self.draw(x, "G")[:, :, None, None]
        with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
            fake = self.G(z)
            score = self.D(x)
            d_real = self.bce(score, torch.ones_like(score))
            score = self.D(fake.detach())
            d_fake = self.bce(score, torch.zeros_like(score))
            d = d_real + d_fake
        self.optimizer_D.zero_grad()
        d.backward()
        self.optimizer_D.step()

        with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
            score = self.D(fake)
            g = self.bce(score, torch.ones_like(score))
        self.optimizer_G.zero_grad()
        g.backward()
        self.optimizer_G.step()
        return {"D/real": d_real.item(), "D/fake": d_fake.item(), "G/adv": g.item()}


class Up(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(before), nn.BatchNorm2d(after)
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(nn.functional.interpolate(self.norm1(x).relu(), scale_factor=2))
        h = self.conv2(self.norm2(h).relu())
        return h + self.shortcut(nn.functional.interpolate(x, scale_factor=2))


class Down(nn.Module):
    def __init__(self, before: int, after: int, down: bool, first: bool) -> None:
        super().__init__()
        sn = nn.utils.spectral_norm
        self.down, self.first = down, first
        self.conv1 = sn(nn.Conv2d(before, after, 3, padding=1))
        self.conv2 = sn(nn.Conv2d(after, after, 3, padding=1))
        self.shortcut = sn(nn.Conv2d(before, after, 1)) if down or before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(self.conv1(x if self.first else x.relu()).relu())
        y = self.shortcut(x)
        return nn.functional.avg_pool2d(h, 2) + nn.functional.avg_pool2d(y, 2) if self.down else h + y


class ResGenerator(nn.Module):
    def __init__(self, z: int, size: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(z, width * 16)
        self.blocks = nn.Sequential(*[Up(width, width) for _ in range((size // 4).bit_length() - 1)])
        self.norm, self.to_image = nn.BatchNorm2d(width), nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.blocks(self.project(z).view(len(z), -1, 4, 4))
        return self.to_image(self.norm(h).relu()).tanh()


class ResCritic(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*[Down(width if k else 3, width, k < 2, k == 0) for k in range(4)])
        self.score = nn.utils.spectral_norm(nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.blocks(x).relu().sum((2, 3)))


class SNGAN:
    """One step of SN-GAN at 32 pixels: D, and G each fifth time on twice as many fakes. y is not looked at."""

    def __init__(self, size: int = 32, width: int = 256, d_width: int = 128, z: int = 128) -> None:
        self.z, self.G, self.D, self.steps = z, ResGenerator(z, size, width), ResCritic(d_width), 0
        self.networks = {"G": self.G, "D": self.D}
        self.optimizer_G = torch.optim.Adam(self.G.parameters(), lr=2e-4, betas=(0.0, 0.9))
        self.optimizer_D = torch.optim.Adam(self.D.parameters(), lr=2e-4, betas=(0.0, 0.9))

    def draw(self, x: Tensor, salt: str) -> Tensor:
        return torch.randn(len(x), self.z, device=x.device)

    def step(self, x: Tensor, y: Tensor, autocast: bool = False) -> dict[str, float]:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
            fake = self.G(self.draw(x, "D")).detach()
            d_real = (1 - self.D(x)).relu().mean()
            d_fake = (1 + self.D(fake)).relu().mean()
            d = d_real + d_fake
        self.optimizer_D.zero_grad()
        d.backward()
        self.optimizer_D.step()
        losses = {"D/real": d_real.item(), "D/fake": d_fake.item()}
        self.steps += 1
        if self.steps % 5 == 0:
            with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
                g = -self.D(self.G(torch.cat([self.draw(x, "G/0"), self.draw(x, "G/1")]))).mean()
            self.optimizer_G.zero_grad()
            g.backward()
            self.optimizer_G.step()
            losses["G/adv"] = g.item()
        return losses
