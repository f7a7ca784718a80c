"""Keys as they are pressed: a terminal that passes each on at once, and is as it was in the end."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


class Keys:
    """A context in which standard input, if it is a terminal, gives single keys."""

    def __enter__(self) -> Keys:
        self._descriptor = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._handlers = {number: signal.signal(number, _leave) for number in _ENDINGS}
        if self._descriptor is not None:
            self._settings = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor)  # Control-C stays what it is
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._descriptor is not None:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._settings)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def wait(self, seconds: float) -> str:
        """The keys that are pressed within so many seconds, once there are any; "" where there are none."""
        if self._descriptor is None:
            time.sleep(max(seconds, 0))
            return ""
        if not select.select([self._descriptor], [], [], max(seconds, 0))[0]:
            return ""
        octets = os.read(self._descriptor, 64)
        if not octets:  # the terminal is gone
            raise SystemExit(1)
        return octets.decode(errors="replace")


def _leave(number: int, _: Any) -> None:
    """A signal that ends the program ends it by way of what has to be put back."""
    raise SystemExit(128 + number)
