"""The asyncio driver: reads bursts, asks the switch, sends. All waiting, all time and all descriptors are here.

A port that is readable gets one burst, then the next port has its turn. What an attachment cannot take at once waits
in a bounded queue of that port alone. Whatever may block (links, namespaces) runs in one worker thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

from vswitch.core.frame import Frame
from vswitch.core.verdict import Egress, Reason
from vswitch.fastpath.cache import FlowCache
from vswitch.fastpath.flowcache import ROOM
from vswitch.fastpath.twins import choose
from vswitch.observers import Observers
from vswitch.outlet import LINK_DOWN, REMEMBERED, Attached
from vswitch.polling import DEFAULT_WINDOW, BusyPoll
from vswitch.ports.base import BURST_OCTETS, PeerError, PortError, PortState
from vswitch.ports.links import LinkMonitor
from vswitch.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from vswitch.core.offload import Buffer
    from vswitch.core.port import BridgePort
    from vswitch.core.switch import Switch
    from vswitch.fastpath.conversations import Conversations
    from vswitch.fastpath.flowcache import Flow
    from vswitch.fastpath.twins import FastPath
    from vswitch.ports.base import Options, Port
    from vswitch.ports.links import Link
    from vswitch.ports.netns import Namespace

log = logging.getLogger(__name__)

BURST: Final = 64
"""Frames that a port may bring in before the next one has its turn."""

ALONE: Final = 4
"""Bursts that it may bring in if nobody else had a turn since its last one."""

LOOKS: Final = 4
"""Times that a poll looks at the two ports that had traffic last, before everybody else has a turn."""

REVIVALS: Final = tuple(0.05 * 2**n for n in range(9))
"""Seconds between the tries to take hold of a device that came back: for some 25 seconds, ever less often."""

SEARCH: Final = 2.0
"""Seconds between the tries of a port that seeks its device for good."""

REST: Final = 0.2
"""Seconds after a far end went until the next is let in: one that comes and goes without end costs others little."""


class Engine:
    """Runs a switch on an event loop: uvloop's where it is there, plain asyncio's where not."""

    def __init__(
        self,
        switch: Switch,
        *,
        busy_poll: float = DEFAULT_WINDOW,
        clock: Callable[[], float] = time.monotonic,
        fast_path: FastPath | None = None,
    ) -> None:
        """Drive `switch`.

        busy_poll: seconds for which the loop asks again before it sleeps; none on a machine with one core.
        clock: seconds that never go back.  fast_path: by default as VSWITCH_NATIVE says. Raises FastPathError.
        """
        self.switch = switch
        self.clock = clock
        self.observers = Observers(switch)
        self.attached: dict[str, Attached] = {}
        self._by_port: dict[BridgePort, Attached] = {}
        self._monitors: dict[Namespace, LinkMonitor] = {}
        self.fast_path = fast_path or choose()
        self._busy_poll = BusyPoll()
        self.set_busy_poll(busy_poll)
        self._buffer = bytearray(ROOM)
        self._cache = FlowCache(switch, self.fast_path.table, self._buffer)
        self._buffers = [memoryview(bytearray(ROOM)) for _ in range(BURST // 2)]
        self._worker = Worker("vswitch-links")
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._recent: tuple[Attached | None, Attached | None] = None, None
        self._round: asyncio.Handle | None = None

    # Ports

    async def attach(self, bridge: BridgePort, port: Port) -> None:
        """Open the attachment and let its frames in. Raises PortError, with nothing left behind."""
        await self._worker.run(port.open)
        attached = Attached(bridge, port, *self._cache.add_port(bridge), self.observers)
        try:
            await self._monitor(port)
            bridge.up = False
            self.switch.add_port(bridge)
        except BaseException:
            self._cache.remove_port(bridge)
            await self._worker.run(port.close)
            raise
        self.attached[bridge.name] = self._by_port[bridge] = attached
        self._follow(attached)
        self._seek(attached)

    async def detach(self, name: str) -> None:
        """Let a port go, give back what its attachment took. Raises KeyError where there is no such port."""
        attached = self.attached.pop(name)
        del self._by_port[attached.bridge]
        if attached.resting is not None:
            attached.resting.cancel()
        self._stop(attached)
        self.switch.remove_port(name)
        self._cache.remove_port(attached.bridge)
        self.observers.forget_ports()
        namespace = attached.port.namespace
        await self._worker.run(attached.port.close)
        self._unmonitor(namespace)

    async def change(self, name: str, options: Options) -> bool:
        """Give a port's attachment new options in place; False where it has to be made anew."""
        attached = self.attached[name]
        changed = await self._worker.run(partial(attached.port.change, options))
        self._follow(attached)
        return changed

    async def renew(self, name: str) -> None:
        """What the port is attached to is another now: let the old one go and take hold. Raises PortError."""
        attached = self.attached[name]
        if attached.port.state is not PortState.NOT_PRESENT:
            self._lose(attached)
        await self._worker.run(attached.port.reopen)
        await self._monitor(attached.port)
        self._follow(attached)

    async def close(self) -> None:
        """Let every port go and stop; one that fails to does not keep the others."""
        for name in list(self.attached):
            try:
                await self.detach(name)
            except Exception:
                log.exception("port %s left something behind", name)
        for handle in (self._timer, self._round):
            if handle is not None:
                handle.cancel()
        for task in self._tasks:
            task.cancel()
        self._worker.close()

    # Frames

    def conversations(self, bridge: BridgePort) -> Conversations:
        """Who talks to whom, of what comes in by a port. Raises KeyError where there is no such port."""
        return self._cache.conversations(bridge)

    def _receive(self, attached: Attached) -> bool:
        """One turn of one port: a burst from its attachment to the attachments of others; whether more may wait."""
        now = self.clock()
        most = len(self._buffers)
        try:
            if attached.port.reads_direct:
                most = ALONE * BURST if self._recent[0] is attached else BURST
                read = self._burst(attached, most, now)
            else:
                read = self._relay(attached, now)
                self._come_back(attached)
        except OSError as error:
            self._trouble(attached, error)
            self._arm(now)
            return False
        if read == 0:
            return False
        if self._recent[0] is not attached:
            self._recent = attached, self._recent[0]
        self._arm(now)
        if read >= most:
            self._busy_poll.saturated()
        elif self._busy_poll.traffic(now):
            self._go_round()
        return read >= most

    def set_busy_poll(self, seconds: float) -> None:
        """Ask for that long before the loop sleeps, unless the guests have no other core to run on."""
        self._busy_poll.window = seconds if (os.cpu_count() or 1) > 1 else 0.0

    def _poll(self) -> None:
        """Keep the loop from sleeping for as long as that may pay; whoever else wants the core has it first.

        The two ports that had traffic last are looked at here: a question and its answer need not wait for the loop.
        """
        self._round = None
        if self._busy_poll.idle:
            os.sched_yield()
        if not self._busy_poll.polling or not self._busy_poll.go_on(self.clock()):
            return
        self._go_round()
        for attached in LOOKS * self._recent:
            if attached is not None and attached.reading and self._receive(attached):
                break  # it has more than a turn of frames: the others have theirs first

    def _go_round(self) -> None:
        if self._round is None:
            self._round = asyncio.get_running_loop().call_soon(self._poll)

    def _burst(self, attached: Attached, most: int, now: float) -> int:
        """The fast path reads and writes by itself, and hands back what it cannot forward; how many frames came."""
        cache, fd, left = self._cache, attached.port.fileno(), most
        while left > 0:
            cache.keep_up(now)
            read, flows, length, flow, done = attached.table.burst(fd, left, BURST_OCTETS, attached.port.packet)
            cache.heard(flows, attached.bridge, now)
            left -= read
            if length <= 0:
                if length == 0:  # no frame is empty: the end of a socket
                    raise ConnectionResetError("the far end hung up")
                break
            self._flush(self._decide(attached, memoryview(self._buffer)[:length], flow, done, now))
        return most - left

    def _relay(self, attached: Attached, now: float) -> int:
        """The attachment reads, and frames go through the fast path one by one; how many came."""
        cache, touched = self._cache, set[Attached]()
        raws = attached.port.receive_burst(self._buffers)
        for raw in raws:
            cache.keep_up(now)
            flow, done = attached.table.carry(raw)
            if flow is not None:
                cache.heard((flow,), attached.bridge, now)
            if flow is None or done < len(flow.exits):
                touched |= self._decide(attached, raw, flow, done, now)
        self._flush(touched)
        return len(raws)

    def _decide(self, attached: Attached, raw: Buffer, flow: Flow | None, done: int, now: float) -> set[Attached]:
        """Have the switch decide of a frame, or send it by the exits of its flow that are left; where it waits now."""
        bridge = attached.bridge
        if self.observers:
            self.observers.foresee(raw, bridge, now)
        frame = Frame.parse(raw, bridge)
        if isinstance(frame, Reason):
            verdict = self.switch.refuse(raw, bridge, frame)
            attached.recent.append((now, bytes(raw[:REMEMBERED]), len(raw), verdict))
            if self.observers:
                self.observers.see(self.observers.mark(0), bridge, raw, frame)
            return set()
        mark = None
        if flow is not None:
            egress = tuple(flow.egress(frame, done))
            if self.observers:
                mark = self.observers.mark(flow.station[0] if flow.station else 0)
        else:
            verdict = self.switch.receive(frame, now)
            attached.recent.append((now, bytes(raw[:REMEMBERED]), len(raw), verdict))
            egress = verdict.egress + verdict.mirrored
            if self.observers:
                mark = self.observers.decided(frame, verdict)
            self._cache.offer(frame, verdict, keep=mark is None or self.observers.indifferent(frame, verdict))
        outlets = [self._by_port[each.port] for each in egress]
        for outlet, each in zip(outlets, egress, strict=True):
            outlet.put(each, mark)
        return set(outlets)

    def _come_back(self, attached: Attached) -> None:
        """Give a port that has read more than a turn of frames another one, behind the others."""
        if attached.turn is None and attached.port.pending():
            attached.turn = asyncio.get_running_loop().call_soon(self._turn, attached)

    def _turn(self, attached: Attached) -> None:
        attached.turn = None
        if attached.reading:
            self._receive(attached)

    def _flush(self, outlets: Iterable[Attached]) -> None:
        for outlet in outlets:
            waiting = bool(outlet.queue)
            if outlet.flush() and not waiting:
                asyncio.get_running_loop().add_writer(outlet.port.send_fileno(), self._writable, outlet)
            if outlet.hung_up:
                self._lose(outlet)

    def _writable(self, outlet: Attached) -> None:
        if not outlet.drain():
            asyncio.get_running_loop().remove_writer(outlet.port.send_fileno())
        if outlet.hung_up:
            self._lose(outlet)

    def inject(self, name: str, raw: Buffer, *, leaves: bool = False) -> None:
        """Have a frame come in by a port as if its guest had sent it, or have it leave there as it is.

        Raises KeyError where there is no such port, ValueError where the octets to leave are no frame.
        """
        attached, now = self.attached[name], self.clock()
        if not leaves:
            self._flush(self._decide(attached, raw, None, 0, now))
            self._arm(now)
            return
        frame = Frame.parse(raw, attached.bridge)
        if isinstance(frame, Reason):
            raise ValueError(frame.meaning)
        attached.put(Egress(attached.bridge, frame, None), self.observers.mark(0) if self.observers else None)
        self._flush((attached,))

    def send(self, egresses: Iterable[Egress]) -> None:
        """Send frames that a stage held back."""
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

    def set_ageing(self, seconds: float) -> None:
        """Stations not heard for that long are forgotten from now on."""
        self.switch.fdb.ageing = seconds
        if self._timer is not None:
            self._timer.cancel()
        self._ring()

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
            attached.exit.state[0] = port.fileno() if port.writes_direct else -1
        up = port.state is PortState.UP
        self._watch(attached, anew=up and not bridge.up)
        if bridge.up != up:
            log.info("port %s is %s", bridge.name, port.state)
            self.switch.set_port_state(bridge, up=up)

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

    def _stop(self, attached: Attached) -> None:
        """Watch the descriptor no longer; always before it is closed."""
        loop = asyncio.get_running_loop()
        if attached.watched >= 0:
            loop.remove_reader(attached.watched)
        if attached.queue:
            loop.remove_writer(attached.port.send_fileno())
        attached.watched, attached.reading, attached.hung_up = -1, False, False
        attached.exit.state[0] = -1
        attached.discard()

    def _trouble(self, attached: Attached, error: OSError) -> None:
        """Reading failed. A link that is down says so by netlink; a device that is gone is let go."""
        if error.errno in LINK_DOWN:
            self._watch(attached, anew=True)
            return
        if isinstance(error, PeerError):
            attached.bridge.counters.drop(error.reason)
        self._lose(attached, str(error) if isinstance(error, PeerError) else "")

    def _lose(self, attached: Attached, why: str = "") -> None:
        """The device is gone: its port goes down, and waits for it to come back."""
        log.warning("port %s lost its %s%s", attached.bridge.name, attached.port.far_end, f": {why}" if why else "")
        self._stop(attached)
        attached.port.lose()
        self._rest(attached)
        self._follow(attached)
        self._seek(attached)

    def _rest(self, attached: Attached) -> None:
        attached.resting = asyncio.get_running_loop().call_later(REST, self._rested, attached)

    def _rested(self, attached: Attached) -> None:
        attached.resting = None
        self._watch(attached)

    def _answer(self, attached: Attached) -> None:
        """Somebody is at the door of a port without device."""
        try:
            attached.port.answer()
        except OSError as error:  # out of descriptors, say
            log.warning("port %s can let nobody in: %s", attached.bridge.name, error.strerror)
            self._rest(attached)
        self._follow(attached)
        if attached.reading:
            self._receive(attached)

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
        if not await self._worker.run(port.locate):
            self._lose(attached)
            return
        if port.namespace != before:
            log.info("port %s moved to another namespace with its device", attached.bridge.name)
            await self._monitor(port)
            self._unmonitor(before)
        self._follow(attached)

    def _seek(self, attached: Attached) -> None:
        if attached.port.seeks and attached.port.state is PortState.NOT_PRESENT:
            self._spawn(self._revive(attached))

    async def _revive(self, attached: Attached) -> None:
        """The device is back. Whoever made it may hold it for a moment yet, and no event says when that ends."""
        if attached.reviving:
            return
        attached.reviving = True
        refused: PortError | None = None
        for pause in chain((0.0, *REVIVALS), repeat(SEARCH) if attached.port.seeks else ()):
            await asyncio.sleep(pause)
            if attached.port.state is not PortState.NOT_PRESENT or self._by_port.get(attached.bridge) is not attached:
                break
            try:
                await self._worker.run(attached.port.reopen)
            except PortError as error:
                refused = error
            else:
                await self._monitor(attached.port)
                self._follow(attached)
        else:
            log.warning("port %s stays down: %s", attached.bridge.name, refused)
        attached.reviving = False

    async def _monitor(self, port: Port) -> None:
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
