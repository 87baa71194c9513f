"""`python -m i2i`, the same program as `i2i`; what torchrun and accelerate start."""

from i2i.cli import main

if __name__ == "__main__":
    main()
