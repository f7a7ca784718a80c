"""Where work is done that may block: in one thread, which ends as soon as there is none.

While a process has but one thread the kernel need not count who uses a descriptor, nor the C library watch for
cancellation: each read and write is some 5 % cheaper (fdget() in Linux fs/file.c).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Worker:
    """One thread at most; what it is given it does one after the other."""

    def __init__(self, name: str) -> None:
        """name: of the thread."""
        self._name = name
        self._executor: ThreadPoolExecutor | None = None
        self._unfinished = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Do this once all else is done; its result. Whoever is cancelled meanwhile does not stop it."""
        loop = asyncio.get_running_loop()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, self._name)
        self._unfinished += 1
        future = self._executor.submit(work)
        future.add_done_callback(partial(self._tell, loop))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Wait for what is being done; another thread does what comes after."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()

    def _tell(self, loop: asyncio.AbstractEventLoop, _: object) -> None:
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(self._finished)

    def _finished(self) -> None:
        self._unfinished -= 1
        if not self._unfinished and self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None
