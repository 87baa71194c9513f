"""Stopping a run by SIGINT (Ctrl-C) or SIGTERM without losing anything."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from i2i.core.errors import I2IError


class Interrupted(I2IError):
    """A signal stopped the run, and its state is saved. `code`, the exit code, is 128 + the signal's number.

    began: whether the run had made a step; without one there is nothing to save."""

    def __init__(self, number: int, hint: str, began: bool = True) -> None:
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        super().__init__(f"Stopped by {name}{'; the run is saved' if began else ' before the first step'}.", hint)
        self.code = 128 + number


ANNOUNCEMENT = "Stopping: this step is finished and the run is saved. Press Ctrl-C again to stop without saving."


class StopSignal:
    """Remembers the signal that asked the run to stop; `number` is 0 as long as none came.

    announces: at the first signal, ANNOUNCEMENT is written to stderr at once."""

    def __init__(self) -> None:
        self.number = 0
        self.announces = False

    @contextlib.contextmanager
    def remembered(self) -> Iterator[None]:
        """Inside, the first signal of a kind is only remembered, and the second one ends the process at once.

        Outside of the main thread nothing is caught: there, only the main thread decides about signals."""

        def remember(number: int, frame: FrameType | None) -> None:
            if self.announces and not self.number:
                with contextlib.suppress(OSError):  # by the system's own write: no lock of Python can be waited for
                    os.write(2, f"\n{ANNOUNCEMENT}\n".encode())
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
