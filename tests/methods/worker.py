"""One process of several: python -m tests.methods.worker OUT NAME... runs three steps of each method in float64."""

import sys
import traceback
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.methods.tiny import loop, state


def main() -> None:
    """Saves NAME.RANK.safetensors, or NAME.RANK.txt with what went wrong."""
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    for name in sys.argv[2:]:
        run = loop(name, out / name, precision="fp64", save_every=1000)
        try:
            run.run()
            save_file({k: v.contiguous() for k, v in state(run).items()}, out / f"{name}.{run.rank}.safetensors")
        except Exception:  # noqa: BLE001  (one broken method must not hide what is to be said of the others)
            (out / f"{name}.{run.rank}.txt").write_text(traceback.format_exc())


if __name__ == "__main__":
    main()
