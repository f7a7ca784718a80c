"""The asyncio driver: reads bursts, asks the switch, sends. All waiting, all time and all descriptors are here.

A port that is readable gets one burst, then the next port has its turn. What an attachment cannot take at once waits
in a bounded queue of that port alone. Whatever may block (links, namespaces) runs in one worker thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from vswitch.outlet import LINK_DOWN, Attached
from vswitch.ports.base import PortError, PortState
from vswitch.ports.links import LinkMonitor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from vswitch.core.port import BridgePort
    from vswitch.core.switch import Switch
    from vswitch.core.verdict import Egress
    from vswitch.ports.base import Options, Port
    from vswitch.ports.links import Link
    from vswitch.ports.netns import Namespace

log = logging.getLogger(__name__)

T = TypeVar("T")

BURST: Final = 32
"""Frames that a port may bring in before the next one has its turn."""

REVIVALS: Final = tuple(0.05 * 2**n for n in range(9))
"""Seconds between the tries to take hold of a device that came back: for some 25 seconds, ever less often."""

BUFFER: Final = 68 * 1024
"""Octets of a receive buffer: a superframe (64 KiB of IP), its headers, tags and virtio-net header, and to spare."""


class Engine:
    """Runs a switch on an event loop: uvloop's where it is there, plain asyncio's where not."""

    def __init__(self, switch: Switch, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Drive `switch`; clock: seconds that never go back."""
        self.switch = switch
        self.clock = clock
        self.attached: dict[str, Attached] = {}
        self._by_port: dict[BridgePort, Attached] = {}
        self._monitors: dict[Namespace, LinkMonitor] = {}
        self._buffers = [memoryview(bytearray(BUFFER)) for _ in range(BURST)]
        self._worker = ThreadPoolExecutor(1, "vswitch-links")
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # Ports

    async def attach(self, bridge: BridgePort, port: Port) -> None:
        """Open the attachment and let its frames in. Raises PortError, with nothing left behind."""
        await self._blocking(port.open)
        attached = Attached(bridge, port)
        try:
            await self._monitor(port)
            bridge.up = False
            self.switch.add_port(bridge)
        except BaseException:
            await self._blocking(port.close)
            raise
        self.attached[bridge.name] = self._by_port[bridge] = attached
        self._follow(attached)

    async def detach(self, name: str) -> None:
        """Let a port go, give back what its attachment took. Raises KeyError where there is no such port."""
        attached = self.attached.pop(name)
        del self._by_port[attached.bridge]
        self._stop(attached)
        self.switch.remove_port(name)
        namespace = attached.port.namespace
        await self._blocking(attached.port.close)
        self._unmonitor(namespace)

    async def change(self, name: str, options: Options) -> bool:
        """Give a port's attachment new options in place; False where it has to be made anew."""
        attached = self.attached[name]
        changed = await self._blocking(partial(attached.port.change, options))
        self._follow(attached)
        return changed

    async def close(self) -> None:
        """Let every port go and stop; one that fails to does not keep the others."""
        for name in list(self.attached):
            try:
                await self.detach(name)
            except Exception:
                log.exception("port %s left something behind", name)
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._worker.shutdown()

    # Frames

    def _receive(self, attached: Attached) -> None:
        """One burst of one port, from its attachment through the switch to the attachments of others."""
        try:
            raws = attached.port.receive_burst(self._buffers)
        except OSError as error:
            self._trouble(attached, error)
            return
        now = self.clock()
        switch, bridge, by_port = self.switch, attached.bridge, self._by_port
        touched = set[Attached]()
        for raw in raws:
            for egress in switch.receive_raw(raw, bridge, now).egress:
                outlet = by_port[egress.port]
                outlet.put(egress)
                touched.add(outlet)
        self._flush(touched)
        self._arm(now)

    def _flush(self, outlets: Iterable[Attached]) -> None:
        for outlet in outlets:
            waiting = bool(outlet.queue)
            if outlet.flush() and not waiting:
                asyncio.get_running_loop().add_writer(outlet.port.fileno(), self._writable, outlet)

    def _writable(self, outlet: Attached) -> None:
        if not outlet.drain():
            asyncio.get_running_loop().remove_writer(outlet.port.fileno())

    def send(self, egresses: Iterable[Egress]) -> None:
        """Send frames that a stage held back, or that somebody injects."""
        touched = set[Attached]()
        for egress in egresses:
            if (outlet := self._by_port.get(egress.port)) is not None:
                outlet.put(egress)
                touched.add(outlet)
        self._flush(touched)

    # Time

    def _arm(self, now: float) -> None:
        """Have the one timer stand no later than the switch wants it."""
        deadline = self.switch.stage_deadline() if self._timer else self.switch.next_deadline()
        if deadline is None:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + max(0.0, deadline - now)
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self.clock()
        self.send(self.switch.handle_timer(now))
        self._arm(now)

    # Links

    def _follow(self, attached: Attached) -> None:
        """Bring reader and switch in line with what the attachment says of itself."""
        port, bridge = attached.port, attached.bridge
        if port.state is not PortState.NOT_PRESENT:
            if (bridge.mtu, bridge.offload) != (port.capabilities.mtu, port.capabilities.offload):
                bridge.mtu, bridge.offload = port.capabilities.mtu, port.capabilities.offload
                self.switch.ports_changed()
            if not attached.reading:
                asyncio.get_running_loop().add_reader(port.fileno(), self._receive, attached)
                attached.reading = True
        up = port.state is PortState.UP
        if bridge.up != up:
            log.info("port %s is %s", bridge.name, port.state)
            self.switch.set_port_state(bridge, up=up)

    def _stop(self, attached: Attached) -> None:
        """Watch the descriptor no longer; always before it is closed."""
        if attached.reading:
            loop = asyncio.get_running_loop()
            loop.remove_reader(attached.port.fileno())
            if attached.queue:
                loop.remove_writer(attached.port.fileno())
            attached.reading = False
        attached.discard()

    def _trouble(self, attached: Attached, error: OSError) -> None:
        """Reading failed. A link that is down says so by netlink; a device that is gone is let go."""
        if error.errno not in LINK_DOWN:
            self._lose(attached)

    def _lose(self, attached: Attached) -> None:
        """The device is gone: its port goes down, and waits for it to come back."""
        log.warning("port %s lost its device", attached.bridge.name)
        self._stop(attached)
        attached.port.lose()
        self._follow(attached)

    def _links_changed(self, namespace: Namespace) -> None:
        """Something happened to links of this namespace: tell the ports whose devices live there."""
        links, missed = self._monitors[namespace].read()
        concerned = [attached for attached in self.attached.values() if attached.port.namespace == namespace]
        for link in links:
            for attached in concerned:
                self._link_changed(attached, link)
        if missed:
            for attached in concerned:
                self._spawn(self._locate(attached))

    def _link_changed(self, attached: Attached, link: Link) -> None:
        port = attached.port
        if port.state is PortState.NOT_PRESENT:
            if port.wants(link):
                self._spawn(self._revive(attached))
        elif port.owns(link):
            if link.gone:
                self._spawn(self._locate(attached))
            else:
                port.link_changed(link)
                self._follow(attached)

    async def _locate(self, attached: Attached) -> None:
        """The device left its namespace, for another one or for good; or it is not known what became of it."""
        port = attached.port
        before = port.namespace
        if port.state is PortState.NOT_PRESENT:
            return
        if not await self._blocking(port.locate):
            self._lose(attached)
            return
        if port.namespace != before:
            log.info("port %s moved to another namespace with its device", attached.bridge.name)
            await self._monitor(port)
            self._unmonitor(before)
            if port.namespace is not None:
                self._monitors[port.namespace].ask()  # what happened to the link while it was looked for
        self._follow(attached)

    async def _revive(self, attached: Attached) -> None:
        """The device is back. Whoever made it may hold it for a moment yet, and no event says when that ends."""
        if attached.reviving:
            return
        attached.reviving = True
        refused: PortError | None = None
        for pause in (0.0, *REVIVALS):
            await asyncio.sleep(pause)
            if attached.port.state is not PortState.NOT_PRESENT or self._by_port.get(attached.bridge) is not attached:
                break
            try:
                await self._blocking(attached.port.reopen)
            except PortError as error:
                refused = error
            else:
                self._follow(attached)
        else:
            log.warning("port %s stays down: %s", attached.bridge.name, refused)
        attached.reviving = False

    async def _monitor(self, port: Port) -> None:
        namespace = port.namespace
        if namespace is not None and namespace not in self._monitors:
            monitor = await self._blocking(partial(LinkMonitor, namespace))
            self._monitors[namespace] = monitor
            asyncio.get_running_loop().add_reader(monitor.fileno(), self._links_changed, namespace)

    def _unmonitor(self, namespace: Namespace | None) -> None:
        if namespace is None or any(a.port.namespace == namespace for a in self.attached.values()):
            return
        monitor = self._monitors.pop(namespace, None)
        if monitor is not None:
            asyncio.get_running_loop().remove_reader(monitor.fileno())
            monitor.close()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _blocking(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)
