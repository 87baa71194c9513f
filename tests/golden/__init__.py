"""Parity with the reference implementations; see cases/README.md and `reading`."""
