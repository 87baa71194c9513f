"""One process of a run over several: python -m tests.training.worker OUT FOLDER '{"plan": ..., "total": ...}'."""

import atexit
import json
import os
import sys
from pathlib import Path

import torch.distributed as dist
from safetensors.torch import save_file

from tests.training.toy import toy_loop, weights


def check_left() -> None:
    """Ends the process with exit code 9 if it is still in its group: some of such processes abort at their end."""
    if dist.is_initialized():
        print("still in the process group", flush=True)
        os._exit(9)


def main() -> None:
    atexit.register(check_left)  # the handler that leaves the group is registered later, and so runs earlier
    out, folder, options = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    loop = toy_loop(folder, **options)
    loop.run()
    save_file({k: v.contiguous() for k, v in weights(loop).items()}, out / f"{loop.rank}of{loop.world}.safetensors")


if __name__ == "__main__":
    main()
