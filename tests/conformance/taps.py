"""Guests: TAPs in a network namespace of their own, where nothing speaks unless a test makes it."""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from fcntl import ioctl
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING

from pyroute2 import IPRoute

from vswitch.core.frame import ETHERNET_HEADER
from vswitch.core.port import DEFAULT_MTU

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000
_LONGEST = 4096  # octets of a frame
_QUEUE = 1000  # frames that wait for a guest

_SILENCE = {
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
    "bridge/bridge-nf-call-arptables": "0",
    "bridge/bridge-nf-call-iptables": "0",
    "bridge/bridge-nf-call-ip6tables": "0",
}
"""Settings under /proc/sys/net that keep the kernel from sending, or filtering, frames of its own accord."""

_libc = ctypes.CDLL(None, use_errno=True)


class Guests:
    """The guests' ends of `count` TAPs, and a nameless namespace with the interfaces; a context manager.

    names: the interfaces, by port number.  mtu: theirs, in octets of payload.
    """

    def __init__(self, count: int, *, mtu: int = DEFAULT_MTU) -> None:
        """Nothing is made yet."""
        self.names = [f"guest{number}" for number in range(count)]
        self._mtu = mtu
        self._fds: list[int] = []
        self._namespace = -1
        self._stack = ExitStack()

    def __enter__(self) -> Guests:
        """Make the namespace and the TAPs, up. Raises OSError where the kernel does not let us."""
        with ExitStack() as stack:
            self._namespace = _new_namespace()
            stack.callback(os.close, self._namespace)
            with self.inside(), IPRoute() as route:
                for setting, value in _SILENCE.items():
                    path = Path("/proc/sys/net", setting)
                    if path.exists():
                        path.write_text(value)
                for name in self.names:
                    self._fds.append(_open_tap(name))
                    stack.callback(os.close, self._fds[-1])
                    index = route.link_lookup(ifname=name)[0]
                    route.link("set", index=index, state="up", mtu=self._mtu, txqlen=_QUEUE)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the TAPs and of the namespace, which ends with all that is in it."""
        self._stack.close()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread, and what it starts meanwhile, in the namespace."""
        home = _this_namespace()
        try:
            _call("setns", self._namespace, _CLONE_NEWNET)
            try:
                yield
            finally:
                _call("setns", home, _CLONE_NEWNET)
        finally:
            os.close(home)

    def fileno(self, port: int) -> int:
        """The descriptor that turns readable when a frame waits for this guest."""
        return self._fds[port]

    def send(self, port: int, octets: bytes) -> None:
        """Send a frame. One without a whole Ethernet header the kernel refuses (EINVAL): its way to drop a runt."""
        try:
            os.write(self._fds[port], octets)
        except OSError:
            if len(octets) >= ETHERNET_HEADER:
                raise

    def receive(self, port: int) -> bytes | None:
        """The next frame that waits for this guest; None: there is none now."""
        try:
            return os.read(self._fds[port], _LONGEST)
        except BlockingIOError:
            return None


def _new_namespace() -> int:
    """A descriptor of a namespace that only it holds."""

    def work() -> int:
        _call("unshare", _CLONE_NEWNET)
        return _this_namespace()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def _this_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _open_tap(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        ioctl(fd, _TUNSETIFF, pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    except OSError:
        os.close(fd)
        raise
    return fd


def _call(function: str, *arguments: int) -> None:
    """A function of the C library that Python 3.11 lacks. Raises OSError."""
    if getattr(_libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
