"""Ports and what they are attached to, kept in step: links that go down, devices that vanish, far ends that come back.

What may block (opening, looking a link up) runs in one worker thread; what happens to links is told by netlink.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

from vswitch.core.verdict import Reason
from vswitch.outlet import LINK_DOWN, Attached
from vswitch.ports.base import PeerError, PortError, PortState
from vswitch.ports.links import LinkMonitor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from vswitch.core.switch import Switch
    from vswitch.observers import Observers
    from vswitch.ports.base import Port
    from vswitch.ports.links import Link
    from vswitch.ports.netns import Namespace
    from vswitch.worker import Worker

log = logging.getLogger(__name__)

REVIVALS: Final = tuple(0.05 * 2**n for n in range(9))
"""Seconds between the tries to take hold of a device that came back: for some 25 seconds, ever less often."""

SEARCH: Final = 2.0
"""Seconds between the tries of a port that seeks its device for good."""

REST: Final = 0.2
"""Seconds after a far end went until the next is let in: one that comes and goes without end costs others little."""

WHOLE: Final = 30.0
"""Seconds within which the rest of a frame has to follow its beginning.

QEMU writes a frame at once unless the socket is full (net/stream.c): this is for a machine that was stopped just then.
"""


class Keeper:
    """Keeps every port in line with its attachment, and the loop's readers with both."""

    def __init__(
        self,
        switch: Switch,
        observers: Observers,
        attached: dict[str, Attached],
        worker: Worker,
        receive: Callable[[Attached], bool],
    ) -> None:
        """observers: told of ports that come up or go down.  attached: the engine's, by the names of ports.

        receive: gives a port that is readable its turn.
        """
        self._switch = switch
        self._observers = observers
        self._attached = attached
        self._worker = worker
        self._receive = receive
        self._monitors: dict[Namespace, LinkMonitor] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Try nothing any more."""
        for task in self._tasks:
            task.cancel()

    def follow(self, attached: Attached) -> None:
        """Bring reader and switch in line with what the attachment says of itself; one that went is let be."""
        if not self._is_here(attached):
            return
        port, bridge = attached.port, attached.bridge
        if port.state is not PortState.NOT_PRESENT:
            if (bridge.mtu, bridge.offload) != (port.capabilities.mtu, port.capabilities.offload):
                bridge.mtu, bridge.offload = port.capabilities.mtu, port.capabilities.offload
                self._switch.ports_changed()
            attached.exit.state[0] = port.fileno() if port.writes_direct else -1
        up = port.state is PortState.UP
        self._watch(attached, anew=up and not bridge.up)
        if bridge.up != up:
            log.info("port %s is %s", bridge.name, port.state)
            attached.changed = time.time()
            self._switch.set_port_state(bridge, up=up)
            self._observers.happened("up" if up else "down", bridge.name)

    def _watch(self, attached: Attached, *, anew: bool = False) -> None:
        """Be told of frames, or, as long as there is no device, of a far end that comes.

        anew: although the descriptor is the same. libuv gives one up that told of an error, and a packet socket's does
        when its link goes down (uv__io_poll() in src/unix/linux.c).
        """
        port, loop = attached.port, asyncio.get_running_loop()
        reading = port.state is not PortState.NOT_PRESENT
        fd = port.fileno() if reading else -1 if attached.resting else port.doorbell()
        if (fd, reading) == (attached.watched, attached.reading) and not anew:
            return
        if attached.watched >= 0:
            loop.remove_reader(attached.watched)
        if fd >= 0:
            loop.add_reader(fd, self._receive if reading else self._answer, attached)
        attached.watched, attached.reading = fd, reading

    def stop(self, attached: Attached) -> None:
        """Watch the descriptor no longer; always before it is closed."""
        loop = asyncio.get_running_loop()
        for timer in (attached.resting, attached.overdue):
            if timer is not None:
                timer.cancel()
        attached.overdue = None
        if attached.watched >= 0:
            loop.remove_reader(attached.watched)
        if attached.queue:
            loop.remove_writer(attached.port.send_fileno())
        attached.watched, attached.reading, attached.hung_up = -1, False, False
        attached.exit.state[0] = -1
        attached.discard()

    def trouble(self, attached: Attached, error: OSError) -> None:
        """Reading failed. A link that is down says so by netlink; a device that is gone is let go."""
        if error.errno in LINK_DOWN:
            self._watch(attached, anew=True)
            return
        if isinstance(error, PeerError):
            attached.bridge.counters.drop(error.reason)
        self.lose(attached, str(error) if isinstance(error, PeerError) else "")

    def lose(self, attached: Attached, why: str = "") -> None:
        """The device is gone: its port goes down, and waits for it to come back."""
        log.warning("port %s lost its %s%s", attached.bridge.name, attached.port.far_end, f": {why}" if why else "")
        self.stop(attached)
        attached.port.lose()
        self._rest(attached)
        self.follow(attached)
        self.seek(attached)

    def _rest(self, attached: Attached) -> None:
        attached.resting = asyncio.get_running_loop().call_later(REST, self._rested, attached)

    def _rested(self, attached: Attached) -> None:
        attached.resting = None
        self._watch(attached)

    def expect_rest(self, attached: Attached) -> None:
        """The beginning of a frame came: its end has to follow, or the far end has to go."""
        loop = asyncio.get_running_loop()
        attached.overdue = loop.call_later(WHOLE, self._end_overdue, attached, attached.port.unfinished())

    def _end_overdue(self, attached: Attached, frame: int | None) -> None:
        """Read what came while the loop itself may have been stopped, and see whether it is still the same frame."""
        attached.overdue = None
        self._receive(attached)
        if frame is not None and attached.port.unfinished() == frame:
            why = f"it did not send the rest of a frame within {WHOLE:g} seconds"
            self.trouble(attached, PeerError(Reason.TRUNCATED, why))

    def _answer(self, attached: Attached) -> None:
        """Somebody is at the door of a port without device."""
        try:
            attached.port.answer()
        except OSError as error:  # out of descriptors, say
            log.warning("port %s can let nobody in: %s", attached.bridge.name, error.strerror)
            self._rest(attached)
        self.follow(attached)
        if attached.reading:
            self._receive(attached)

    def _links_changed(self, namespace: Namespace) -> None:
        """Something happened to links of this namespace: tell the ports whose devices live there."""
        links, missed = self._monitors[namespace].read()
        concerned = [attached for attached in self._attached.values() if attached.port.namespace == namespace]
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
                self.follow(attached)

    async def _locate(self, attached: Attached) -> None:
        """The device left its namespace, for another one or for good; or it is not known what became of it."""
        port = attached.port
        before = port.namespace
        if port.state is PortState.NOT_PRESENT:
            return
        found = await self._worker.run(port.locate)
        if not self._is_here(attached):
            return
        if not found:
            self.lose(attached)
            return
        if port.namespace != before:
            log.info("port %s moved to another namespace with its device", attached.bridge.name)
            await self.monitor(port)
            self.unmonitor(before)
        self.follow(attached)

    def seek(self, attached: Attached) -> None:
        if attached.port.seeks and attached.port.state is PortState.NOT_PRESENT:
            self._spawn(self._revive(attached))

    async def _revive(self, attached: Attached) -> None:
        """The device is back. Whoever made it may hold it for a moment yet, and no event says when that ends."""
        if attached.reviving:
            return
        attached.reviving = True
        refused: Exception | None = None
        for pause in chain((0.0, *REVIVALS), repeat(SEARCH) if attached.port.seeks else ()):
            await asyncio.sleep(pause)
            present = attached.port.state is not PortState.NOT_PRESENT
            if present or not self._is_here(attached):
                break
            try:
                await self._worker.run(attached.port.reopen)
            except (PortError, OSError) as error:  # out of descriptors, say
                refused = error
            else:
                if self._is_here(attached):
                    await self.monitor(attached.port)
                    self.follow(attached)
        else:
            log.warning("port %s stays down: %s", attached.bridge.name, refused)
        attached.reviving = False

    def _is_here(self, attached: Attached) -> bool:
        """Whether the port was not removed, while something was waited for."""
        return self._attached.get(attached.bridge.name) is attached

    async def monitor(self, port: Port) -> None:
        """Be told of the port's link from now on, and of what happened to it since the port was opened."""
        namespace = port.namespace
        if namespace is None:
            return
        if namespace not in self._monitors:
            monitor = await self._worker.run(partial(LinkMonitor, namespace))
            self._monitors[namespace] = monitor
            asyncio.get_running_loop().add_reader(monitor.fileno(), self._links_changed, namespace)
        elif port.index:
            self._monitors[namespace].ask(port.index)

    def unmonitor(self, namespace: Namespace | None) -> None:
        if namespace is None or any(a.port.namespace == namespace for a in self._attached.values()):
            return
        monitor = self._monitors.pop(namespace, None)
        if monitor is not None:
            asyncio.get_running_loop().remove_reader(monitor.fileno())
            monitor.close()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
