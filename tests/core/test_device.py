"""Words for devices: the same ones, with the same meaning, for training and for using a model."""

from __future__ import annotations

import pytest
import torch

from i2i.core.device import device_of
from i2i.core.errors import I2IError
from i2i.training.settings import TrainSettings, accelerator_for


@pytest.fixture
def machine(monkeypatch):
    """A function that stands in for the GPUs of a machine."""

    def has(cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return has


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(0, False, "cpu"), (0, True, "mps"), (2, False, "cuda"), (1, True, "cuda")]
)
def test_auto_is_the_gpu_that_is_there(machine, cuda, mps, expected):
    machine(cuda, mps)
    assert device_of("auto").type == expected


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1", "mps"])
def test_training_and_translating_take_the_same_devices(machine, name):
    machine(cuda=2, mps=True)
    assert device_of(name) == torch.device(name)
    TrainSettings(device=name).check()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cuda", "The device 'cuda' cannot be used: no CUDA device is available here. Allowed: auto, cpu, "),
        ("cuda:1", "The device 'cuda:1' cannot be used: no CUDA device is available here. Allowed: auto, cpu, "),
        ("mps", "The device 'mps' cannot be used: no MPS device (the GPU of a Mac) is available here. Allowed: "),
        ("gpu", "There is no device 'gpu'. Allowed: auto, cpu, cuda, cuda:1, mps."),
        ("meta", "The device 'meta' cannot be used: it holds no values. Allowed: "),
    ],
)
def test_a_device_that_is_not_here_is_one_sentence(machine, name, said):
    machine()
    for use in (lambda: device_of(name), TrainSettings(device=name).check):
        with pytest.raises(I2IError) as caught:
            use()
        assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("count", "said"), [(1, "there is 1 here, cuda:0."), (2, "there are 2 here, cuda:0 to cuda:1.")]
)
def test_a_gpu_beyond_the_last_one_is_refused_with_their_number(machine, count, said):
    machine(cuda=count)
    with pytest.raises(I2IError, match="'cuda:7' cannot be used: ") as caught:
        device_of("cuda:7")
    assert said in str(caught.value)


def test_a_mac_trains_on_its_gpu(machine):
    machine(mps=True)
    assert accelerator_for(TrainSettings()).device == torch.device("mps")
    with pytest.raises(I2IError, match=r"MPS devices have no fp64\. Give --precision fp32, or --device cpu\."):
        TrainSettings(precision="fp64").check()


def test_each_run_of_a_process_gets_the_device_that_it_names(machine):
    machine(mps=True)  # Accelerate keeps the first device of a process for good
    for name in ("cpu", "mps", "cpu", "auto", "cpu"):
        expected = "mps" if name == "auto" else name
        assert accelerator_for(TrainSettings(device=name)).device == torch.device(expected)


def test_an_accelerator_of_the_callers_own_is_left_alone_where_it_fits():
    from accelerate import Accelerator

    accelerator_for(TrainSettings(device="cpu"))
    own = Accelerator(cpu=True)
    accelerator_for(TrainSettings(device="cpu"))
    assert own.device == torch.device("cpu")


def test_one_device_for_several_processes_is_refused(machine, monkeypatch):
    machine(cuda=2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    TrainSettings(device="cuda").check()
    with pytest.raises(I2IError, match=r"Give --device cuda: each process takes a device of its own\."):
        TrainSettings(device="cuda:1").check()
