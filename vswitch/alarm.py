"""An alarm clock for the event loop that is right to some microseconds: a timerfd.

The loop's own timers are rounded to milliseconds (uv__next_timeout() of libuv, src/timer.c), which is too coarse for a
delay that frames are to have. Nothing exists, and nothing is watched, until the first alarm is set.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_CLOCK_MONOTONIC: Final = 1
_libc = ctypes.CDLL(None, use_errno=True)


class _Spec(ctypes.Structure):
    """`struct itimerspec`: an interval, and the time of the first expiration, in seconds and nanoseconds each."""

    _fields_ = (("interval", ctypes.c_long * 2), ("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class Alarm:
    """Rings once, at the earliest time that was asked for since it rang last."""

    def __init__(self, ring: Callable[[], None]) -> None:
        """ring: what it calls."""
        self._ring = ring
        self._fd = -1
        self._when = inf
        self._spec = _Spec()
        self._pointer = ctypes.byref(self._spec)

    def set(self, seconds: float) -> None:
        """Ring in so many seconds, if it would not before; at once where they are none or less."""
        when = time.monotonic() + seconds
        if when >= self._when:
            return
        if self._fd < 0:
            self._open()
        self._when = when
        nanoseconds = max(1, int(seconds * 1e9))  # none at all would turn it off
        self._spec.seconds, self._spec.nanoseconds = divmod(nanoseconds, 1_000_000_000)
        _libc.timerfd_settime(self._fd, 0, self._pointer, None)

    def close(self) -> None:
        """Ring no more."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
        self._fd, self._when = -1, inf

    def _open(self) -> None:
        """Raises OSError."""
        self._fd = _libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "no timer can be had")
        asyncio.get_running_loop().add_reader(self._fd, self._expired)

    def _expired(self) -> None:
        with suppress(BlockingIOError):  # it was set anew since
            os.read(self._fd, 8)
        self._when = inf
        self._ring()
