"""The asyncio driver: reads bursts, asks the switch, sends. All waiting and all time are here.

A port that is readable gets one burst, then the next port has its turn. What an attachment cannot take at once waits
in a bounded queue of that port alone. Whatever may block (links, namespaces) runs in one worker thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from vswitch.alarm import Alarm
from vswitch.core.frame import Frame
from vswitch.core.verdict import Reason, Released
from vswitch.fastpath.cache import FlowCache
from vswitch.fastpath.flowcache import ROOM
from vswitch.fastpath.twins import choose
from vswitch.keeper import Keeper
from vswitch.observers import Mark, Observers
from vswitch.outlet import REMEMBERED, Attached
from vswitch.polling import DEFAULT_WINDOW, BusyPoll
from vswitch.ports.base import BURST_OCTETS, PortState
from vswitch.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vswitch.core.offload import Buffer
    from vswitch.core.port import BridgePort
    from vswitch.core.sampling import Sampler
    from vswitch.core.switch import Switch
    from vswitch.core.verdict import Egress
    from vswitch.fastpath.conversations import Conversations
    from vswitch.fastpath.flowcache import Flow
    from vswitch.fastpath.twins import FastPath
    from vswitch.ports.base import Options, Port

log = logging.getLogger(__name__)

BURST: Final = 64
"""Frames that a port may bring in before the next one has its turn."""

ALONE: Final = 4
"""Bursts that it may bring in if nobody else had a turn since its last one."""

TURN: Final = 0.002
"""Seconds after which its turn ends in any case: frames that are decided one by one, and seen, take longer."""

LOOKS: Final = 4
"""Times that a poll looks at the two ports that had traffic last, before everybody else has a turn."""


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
        self.fast_path = fast_path or choose()
        self._busy_poll = BusyPoll()
        self.set_busy_poll(busy_poll)
        self._buffer = bytearray(ROOM)
        self._cache = FlowCache(switch, self.fast_path.table, self._buffer)
        self.turns = [0] * (1 + ALONE * BURST)
        """How many turns of a port brought in so many frames, by that number; a superframe is one."""
        self._buffers = [memoryview(bytearray(ROOM)) for _ in range(BURST // 2)]
        self._worker = Worker("vswitch-links")
        self._keeper = Keeper(switch, self.observers, self.attached, self._worker, self._receive)
        self._timer: asyncio.TimerHandle | None = None
        self._alarm = Alarm(self._wake)
        self._recent: tuple[Attached | None, Attached | None] = None, None
        self._round: asyncio.Handle | None = None
        self._new_sampler: Callable[[], Sampler] | None = None

    # Ports

    async def attach(self, bridge: BridgePort, port: Port) -> None:
        """Open the attachment and let its frames in. Raises PortError, with nothing left behind."""
        try:
            await self._worker.run(port.open)
        except BaseException:  # whoever is cancelled meanwhile does not stop it
            await self._worker.run(port.close)
            raise
        attached = Attached(bridge, port, *self._cache.add_port(bridge), self.observers)
        attached.sample(self._new_sampler)
        try:
            await self._keeper.monitor(port)
            bridge.up = False
            self.switch.add_port(bridge)
        except BaseException:
            self._cache.remove_port(bridge)
            await self._worker.run(port.close)
            raise
        self.attached[bridge.name] = self._by_port[bridge] = attached
        self._keeper.follow(attached)
        self._keeper.seek(attached)
        self._arm(self.clock())

    async def detach(self, name: str) -> None:
        """Let a port go, give back what its attachment took. Raises KeyError where there is no such port."""
        attached = self.attached.pop(name)
        del self._by_port[attached.bridge]
        self._keeper.stop(attached)
        self.switch.remove_port(name)
        self._cache.remove_port(attached.bridge)
        self.observers.forget_ports()
        namespace = attached.port.namespace
        await self._worker.run(attached.port.close)
        self._keeper.unmonitor(namespace)

    async def change(self, name: str, options: Options) -> bool:
        """Give a port's attachment new options in place; False where it has to be made anew."""
        attached = self.attached[name]
        changed = await self._worker.run(partial(attached.port.change, options))
        self._keeper.follow(attached)
        return changed

    async def renew(self, name: str) -> None:
        """What the port is attached to is another now: let the old one go and take hold. Raises PortError."""
        attached = self.attached[name]
        if attached.port.state is not PortState.NOT_PRESENT:
            self._keeper.lose(attached)
        await self._worker.run(attached.port.reopen)
        await self._keeper.monitor(attached.port)
        self._keeper.follow(attached)

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
        self._alarm.close()
        self._keeper.close()
        self._worker.close()

    # Frames

    @property
    def flow_cache(self) -> FlowCache:
        """What fills the flow tables."""
        return self._cache

    def conversations(self, bridge: BridgePort) -> Conversations:
        """Who talks to whom, of what comes in by a port. Raises KeyError where there is no such port."""
        return self._cache.conversations(bridge)

    def sample(self, new_sampler: Callable[[], Sampler] | None) -> None:
        """Sample what comes in by each port from now on, by a sampler of its own; None: nothing any more."""
        self._new_sampler = new_sampler
        for attached in self.attached.values():
            attached.sample(new_sampler)

    def _receive(self, attached: Attached) -> bool:
        """One turn of one port: a burst from its attachment to the attachments of others; whether more may wait."""
        now = self.clock()
        most = len(self._buffers)
        try:
            if attached.port.reads_direct:
                most = ALONE * BURST if self._recent[0] is attached else BURST
                read, more = self._burst(attached, most, now)
            else:
                read = self._relay(attached, now)
                more = read >= most
                self._come_back(attached)
                if attached.overdue is None and attached.port.unfinished() is not None:
                    self._keeper.expect_rest(attached)
        except OSError as error:
            self._keeper.trouble(attached, error)
            self._arm(now)
            return False
        if read == 0:
            return False
        self.turns[read] += 1
        if self._recent[0] is not attached:
            self._recent = attached, self._recent[0]
        self._arm(now)
        if more:
            self._busy_poll.saturated()
        elif self._busy_poll.traffic(now):
            self._go_round()
        return more

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

    def _burst(self, attached: Attached, most: int, now: float) -> tuple[int, bool]:
        """The fast path reads and writes by itself, and hands back what it cannot forward.

        How many frames came, and whether more may wait.
        """
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
            cache.misses += flow is None
            self._flush(self._decide(attached, memoryview(self._buffer)[:length], flow, done, now))
            if self.clock() - now > TURN:
                return most - left, True
        return most - left, left <= 0

    def _relay(self, attached: Attached, now: float) -> int:
        """The attachment reads, and frames go through the fast path one by one; how many came."""
        cache, touched = self._cache, set[Attached]()
        raws = attached.port.receive_burst(self._buffers)
        for raw in raws:
            cache.keep_up(now)
            flow, done = attached.table.carry(raw)
            if flow is not None:
                cache.heard((flow,), attached.bridge, now)
            else:
                cache.misses += 1
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
                self.observers.see(Mark(self.observers.number(), 0), bridge, raw, frame)
            return set()
        if flow is not None:
            frame.vid = flow.station[0] if flow.station else 0
            return self._put(flow.egress(frame, done))
        if self.observers:
            frame.packet = self.observers.number()
        verdict = self.switch.receive(frame, now)
        attached.recent.append((now, bytes(raw[:REMEMBERED]), len(raw), verdict))
        if attached.sampler is not None:
            attached.sampler.consider(frame, verdict)
        if self.observers:
            self.observers.decided(frame, verdict)
        self._cache.offer(frame, verdict, keep=not self.observers or self.observers.indifferent(frame, verdict))
        return self._put((*verdict.egress, *verdict.mirrored))

    def _put(self, egresses: Iterable[Egress]) -> set[Attached]:
        """Add frames to the bursts that leave next; of which ports."""
        touched = set[Attached]()
        for egress in egresses:
            outlet = self._by_port[egress.port]
            outlet.put(egress)
            touched.add(outlet)
        return touched

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
                self._keeper.lose(outlet)

    def _writable(self, outlet: Attached) -> None:
        if not outlet.drain():
            asyncio.get_running_loop().remove_writer(outlet.port.send_fileno())
        if outlet.hung_up:
            self._keeper.lose(outlet)

    def inject(self, name: str, raw: Buffer, *, leaves: bool = False) -> None:
        """Have a frame come in by a port as if its guest had sent it, or have it go to the guest as it is.

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
        self._carry_out((Released(frame, self.switch.emit(frame, now)),))
        self._arm(now)

    def _carry_out(self, released: Iterable[Released]) -> None:
        """Send the frames that stages let go, or nobody sent."""
        touched = set[Attached]()
        for frame, verdict in released:
            if self.observers:
                self.observers.released(frame, verdict)
            self._cache.settle(frame, verdict)
            touched |= self._put((*verdict.egress, *verdict.mirrored))
        self._flush(touched)

    # Time

    def _arm(self, now: float) -> None:
        """Send what stages let go by now, and have alarm and timer stand no later than the switch wants them."""
        deadline = self.switch.stage_deadline()
        if deadline is not None and deadline <= now:
            self._carry_out(self.switch.release(now))
            deadline = self.switch.stage_deadline()
        if deadline is not None:
            self._alarm.set(deadline - self.clock())
        if self._timer is None and (unheard := self.switch.fdb.next_deadline()) is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, unheard - now), self._ring)

    def set_ageing(self, seconds: float) -> None:
        """Stations not heard for that long are forgotten from now on."""
        self.switch.fdb.ageing = seconds
        if self._timer is not None:
            self._timer.cancel()
        self._ring()

    def _ring(self) -> None:
        self._timer = None
        now = self.clock()
        self._carry_out(self.switch.handle_timer(now))
        self._arm(now)

    def _wake(self) -> None:
        self._arm(self.clock())
