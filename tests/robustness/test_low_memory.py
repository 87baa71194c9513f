"""What does not fit into the address space is said in a sentence: by the commands, training and the library."""

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i import nets
from i2i.core.memory import shortage
from i2i.models import format as model_file

resource = pytest.importorskip("resource")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "A library cannot be loaded"),
        (OSError("libcublas.so: cannot allocate memory in static TLS block"), "A library cannot be loaded"),
        (RuntimeError("can't start new thread"), "No more threads can be started"),
        (RuntimeError("Resource temporarily unavailable"), "No more threads can be started"),
        (MemoryError(), "The memory is full."),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), "memory is full"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "The memory is full."),
    ],
)
def test_whoever_says_that_memory_is_short_is_understood(error, said):
    assert said in str(shortage(error))


@pytest.mark.parametrize("error", [ImportError("No module named x"), OSError(errno.ENOSPC, "No space"), ValueError()])
def test_other_errors_stay_what_they_are(error):
    assert shortage(error) is None


@pytest.fixture
def here(tmp_path) -> Path:
    (tmp_path / "pairs").mkdir()
    for k in range(2):
        Image.fromarray(np.full((16, 32, 3), 80 * k, np.uint8)).save(tmp_path / "pairs" / f"{k}.png")
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "a.png")
    model_file.save(tmp_path / "tiny.safetensors", {"G": nets.build("resnet", blocks=1, width=2)})
    return tmp_path


LIBRARY = """
import sys, runpy
sys.path.insert(0, "")
try:
    import i2i
    i2i.load
except Exception as error:
    print("Error:", type(error).__name__, error, file=sys.stderr)
    sys.exit(1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of other systems differ")
@pytest.mark.parametrize(
    "gigabytes", [1.5, pytest.param(2.0, marks=pytest.mark.slow), pytest.param(3.0, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("way", ["translate", "train", "library"])
def test_a_small_address_space_is_one_sentence(here, gigabytes, way):
    words = {
        "translate": ["-m", "i2i", "translate", "a.png", "--model", "tiny.safetensors"],
        "train": ["-m", "i2i", "train", "pix2pix", "--data", "pairs", "--size", "16"],
        "library": ["-c", LIBRARY],
    }[way]
    limit = int(gigabytes * 2**30)
    done = subprocess.run(
        [sys.executable, *words],
        cwd=here,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode == 0:  # this PyTorch is a small one
        return
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert f"only {limit / 1e9:.1f} GB of address space (ulimit -v)" in last or "The memory is full" in last
    assert "Traceback" not in done.stderr
