"""What passes the octets of a capture on to its caller, in a thread of its own.

The loop has the fewest turns when there is most to pass on. A thread sends while the loop waits for the kernel, and a
caller who does not read holds nobody up.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vswitch.observe.capture import Capture

log = logging.getLogger(__name__)

_CHUNK: Final = 1 << 20
_PAUSE: Final = 0.01
"""Seconds between two looks at a buffer that frames come into: a caller sees them soon, in few writes."""

_LOOK: Final = 1.0
"""Seconds without a frame after which it looks by itself."""

_STUCK: Final = 5.0
"""Seconds in which a caller read nothing, after which the log says so."""


class Pump:
    """One capture and the connection of the one who reads it, as chunks of HTTP/1.1 (RFC 9112, section 7.1)."""

    def __init__(self, capture: Capture, fd: int) -> None:
        """fd: the connection's, of which it keeps a duplicate. Nobody else writes to it as long as `run` runs."""
        self._capture = capture
        self._connection = socket.socket(fileno=os.dup(fd))
        self._connection.setblocking(False)
        self._writable = select.poll()
        self._writable.register(self._connection, select.POLLOUT)
        self._news = threading.Event()
        self._told = False

    def wake(self) -> None:
        """There may be something to read. Cheap where that is known already."""
        if not self._news.is_set():
            self._news.set()

    def run(self) -> bool:
        """Until the capture has ended and all of it is passed on; False where the caller went before."""
        try:
            while True:
                self._news.clear()
                ended = self._capture.ended  # looked at first: what it ends with is there by then
                while octets := self._capture.read(_CHUNK):
                    self._send(b"%x\r\n%b\r\n" % (len(octets), octets))
                if ended:
                    return True
                if self._news.wait(_LOOK):
                    time.sleep(_PAUSE)
        except OSError:
            return False
        finally:
            self._connection.close()

    def stop(self) -> None:
        """Have `run` end soon, whatever it does: the caller is gone, or has to go."""
        with suppress(OSError):  # it is over, or the caller reset it
            self._connection.shutdown(socket.SHUT_RDWR)
        self._capture.end()
        self._news.set()

    def _send(self, octets: bytes) -> None:
        """Raises OSError where the caller is gone."""
        view = memoryview(octets)
        while view:
            try:
                view = view[self._connection.send(view) :]
            except BlockingIOError:
                self._wait()

    def _wait(self) -> None:
        """Wait for a caller that does not read; its buffer fills, and the log tells of it once."""
        if self._writable.poll(int(_STUCK * 1000)):
            return
        if not self._told:
            self._told = True
            log.warning("a capture is not being read; what does not fit its buffer will be lost to it, and counted")
        self._writable.poll()
