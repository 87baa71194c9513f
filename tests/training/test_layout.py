"""The memory layout that `channels_last` chooses."""

from types import SimpleNamespace

import pytest
import torch

from i2i.training.settings import TrainSettings
from i2i.training.step import TrainStep
from tests.methods import tiny


def chosen(method: str, device: str, channels_last: str = "auto", precision: str = "fp32", **changes: str) -> bool:
    settings = TrainSettings(channels_last=channels_last, precision=precision)
    step = SimpleNamespace(settings=settings, device=torch.device(device), method=tiny.made(method, **changes))
    return TrainStep._use_channels_last(step)


@pytest.mark.parametrize(
    ("method", "device", "expected"),
    [("dcgan", "cuda", True), ("cyclegan", "cuda", False), ("dcgan", "cpu", False), ("cyclegan", "cpu", False)],
)
def test_auto_is_channels_last_on_gpus_without_instance_norm(method: str, device: str, expected: bool) -> None:
    assert chosen(method, device) is expected


def test_what_the_user_sets_is_kept() -> None:
    assert chosen("cyclegan", "cpu", "yes")
    assert not chosen("dcgan", "cuda", "no")


@pytest.mark.parametrize("method", ["dcgan", "cyclegan", "stargan", "pix2pix"])
def test_auto_is_channels_last_on_cpus_in_bf16(method: str) -> None:
    assert chosen(method, "cpu", precision="bf16")


@pytest.mark.parametrize(
    ("capability", "norm", "precision", "expected"),
    [
        ("AVX512", "batch", "fp32", True),
        ("AVX512", "instance", "fp32", False),
        ("AVX2", "batch", "fp32", False),
        ("AVX512", "batch", "fp64", False),
    ],
)
def test_auto_is_channels_last_for_unets_in_float32_with_avx512(
    capability: str, norm: str, precision: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert chosen("pix2pix", "cpu", precision=precision, norm=norm) is expected
