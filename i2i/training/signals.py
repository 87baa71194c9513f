"""Stopping a run by SIGINT (Ctrl-C) or SIGTERM without losing anything."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from i2i.core.errors import I2IError


class Interrupted(I2IError):
    """A signal stopped the run, and its state is saved. `code`, the exit code, is 128 + the signal's number."""

    def __init__(self, number: int, hint: str) -> None:
        super().__init__(f"Stopped by {signal.Signals(number).name}; the run is saved.", hint)
        self.code = 128 + number


class StopSignal:
    """Remembers the signal that asked the run to stop; `number` is 0 as long as none came."""

    def __init__(self) -> None:
        self.number = 0

    @contextlib.contextmanager
    def remembered(self) -> Iterator[None]:
        """Inside, the first signal of a kind is only remembered, and the second one ends the process at once.

        Outside of the main thread nothing is caught: there, only the main thread decides about signals."""

        def remember(number: int, frame: FrameType | None) -> None:
            self.number = number
            signal.signal(number, signal.SIG_DFL)

        try:
            previous = {s: signal.signal(s, remember) for s in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # raised by Python in any thread but the main one
            yield
            return
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
