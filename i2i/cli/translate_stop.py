"""A translation that is stopped by Ctrl-C, SIGTERM or a closed terminal: how far it came, and how to go on."""

from __future__ import annotations

import contextlib
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from i2i.core.errors import I2IError
from i2i.core.progress import Progress


class Stopped(I2IError):
    """A signal stopped a command. `code`, the exit code, is 128 + the signal's number."""

    def __init__(self, number: int, what: str, hint: str) -> None:
        super().__init__(what, hint)
        self.code = 128 + number


class Stop:
    """Counts the images that are done, and says so if a signal stops the work.

    words: the command as it was typed, without the program's name. has_record: the output folder holds a record, so
    that --resume knows what is done; otherwise --skip-existing does."""

    def __init__(self, words: list[str], has_record: bool) -> None:
        self.words, self.has_record = words, has_record
        self.done = self.total = 0
        self.signal: int = signal.SIGINT

    def counting(self, advance: Progress | None) -> Callable[[int, int, Path], None]:
        """The progress function of the library, which also moves the bar."""

        def count(done: int, total: int, source: Path) -> None:
            self.done, self.total = done, total
            if advance is not None:
                advance(done, total)

        return count

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turns Ctrl-C, SIGTERM and SIGHUP (a closed terminal) inside into `Stopped`; a second Ctrl-C ends at once."""

        def interrupt(number: int, frame: FrameType | None) -> None:
            self.signal = number
            raise KeyboardInterrupt

        before = {}
        with contextlib.suppress(ValueError):  # raised by Python in any thread but the main one
            for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
                    before[number] = signal.signal(number, interrupt)
        try:
            yield
        except KeyboardInterrupt:
            if before:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            raise Stopped(self.signal, *self._explanation()) from None
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _explanation(self) -> tuple[str, str]:
        flag = "--resume" if self.has_record else "--skip-existing"
        words = self.words if flag in self.words else [*self.words, flag]
        what = f"Stopped after {self.done:,} of {self.total:,} images."
        if not self.total:  # other processes may have written images that this one has not counted yet
            what, words = "Stopped before an image was counted.", [w for w in words if w != "--resume"]
            words = words if "--skip-existing" in words else [*words, "--skip-existing"]
        return what, f"Go on with: {shlex.join(['i2i', *words])}"
