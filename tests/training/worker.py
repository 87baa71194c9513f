"""One process of a run over several: python -m tests.training.worker OUT FOLDER '{"plan": ..., "total": ...}'."""

import json
import sys
from pathlib import Path

from safetensors.torch import save_file

from tests.training.toy import toy_loop, weights


def main() -> None:
    out, folder, options = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    loop = toy_loop(folder, **options)
    loop.run()
    save_file({k: v.contiguous() for k, v in weights(loop).items()}, out / f"{loop.rank}of{loop.world}.safetensors")


if __name__ == "__main__":
    main()
