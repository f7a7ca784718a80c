"""The driver, with ports whose guests are this test: turns, queues, timers, and devices that fail."""

from __future__ import annotations

import asyncio
import errno
import inspect
import itertools
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from perf.instructions import SocketPort
from tests.unit.frames import BROADCAST, A, B, raw
from vswitch import outlet
from vswitch.core.offload import HEADER, Capability
from vswitch.core.port import BridgePort
from vswitch.core.stage import Stage
from vswitch.core.switch import Switch
from vswitch.core.verdict import HELD, Held, Hold, Reason
from vswitch.engine import BURST, Engine
from vswitch.ports.base import Capabilities, PortState
from vswitch.ports.memory import MemoryPort

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from vswitch.core.frame import Frame


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Any:
    """The test on plain asyncio, and on uvloop."""

    def wrapped(run: Callable[[Coroutine[Any, Any, None]], None], **fixtures: Any) -> None:
        run(test(**fixtures))

    own = inspect.signature(test).parameters.values()
    run = inspect.Parameter("run", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    wrapped.__signature__ = inspect.Signature([run, *own])  # type: ignore[attr-defined]
    wrapped.__name__ = test.__name__
    return pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])(wrapped)


def frame(destination: str, source: str, number: int = 0) -> bytes:
    return raw(destination, source, payload=number.to_bytes(4) + bytes(46))[HEADER:]


def numbers(port: MemoryPort) -> list[int]:
    return [int.from_bytes(octets[HEADER + 14 : HEADER + 18]) for octets in port.sent]


async def until(happened: Callable[[], object]) -> None:
    """Let the loop turn until something happened, for as many turns as that may take."""
    for _ in range(2000):
        if happened():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not happen")


@asynccontextmanager
async def engine(*stages: Stage, **ports: MemoryPort) -> AsyncIterator[Engine]:
    """An engine with these ports."""
    driver = Engine(Switch(stages))
    for name, port in ports.items():
        await driver.attach(BridgePort(name), port)
    yield driver
    await driver.close()


def counters(driver: Engine, name: str) -> Any:
    return driver.switch.ports[name].counters


@on_both_loops
async def test_frames_go_where_the_switch_says_and_are_counted() -> None:
    a, b, c = MemoryPort(), MemoryPort(), MemoryPort()
    async with engine(a=a, b=b, c=c) as driver:
        a.inject(frame(BROADCAST, A))
        await until(lambda: b.sent and c.sent)
        b.inject(frame(A, B))
        await until(lambda: a.sent)
        assert len(c.sent) == 1
        assert counters(driver, "a").transmit.frames == [1, 0, 0]
        assert counters(driver, "b").transmit.frames == [0, 0, 1]
        assert counters(driver, "b").transmit.octets == 64


@on_both_loops
async def test_a_flooding_port_leaves_the_others_their_turns() -> None:
    a, b, c = MemoryPort(), MemoryPort(), MemoryPort()
    async with engine(a=a, b=b, c=c):
        a.inject(*(frame(BROADCAST, A, number) for number in range(BURST * 100)))
        b.inject(frame(BROADCAST, B, 7))
        await until(
            lambda: any(octets[HEADER + 6 : HEADER + 12] == bytes.fromhex(B.replace(":", "")) for octets in c.sent)
        )
        assert len(c.sent) <= BURST * 4
        await until(lambda: len(c.sent) == BURST * 100 + 1)
        assert numbers(b) == list(range(BURST * 100))


@on_both_loops
async def test_a_slow_port_fills_its_own_queue_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "QUEUE", 10)
    a, slow, fast = MemoryPort(), MemoryPort(capacity=5), MemoryPort()
    async with engine(a=a, slow=slow, fast=fast) as driver:
        a.inject(*(frame(BROADCAST, A, number) for number in range(30)))
        await until(lambda: len(fast.sent) == 30)
        assert counters(driver, "slow").dropped[Reason.QUEUE_FULL] == 15
        assert counters(driver, "slow").transmit.frames == [0, 0, 5]
        a.inject(*(frame(BROADCAST, A, 100 + number) for number in range(BURST)))  # every buffer is used again
        await until(lambda: len(fast.sent) == 30 + BURST)
        slow.capacity = None
        await until(lambda: len(slow.sent) == 15)
        assert numbers(slow) == list(range(15)), "in order, and as they were before their buffers were used again"
        assert numbers(fast)[:30] == list(range(30))
        a.inject(frame(BROADCAST, A, 99))
        await until(lambda: numbers(slow)[-1] == 99)


@on_both_loops
async def test_a_refused_frame_is_counted_and_the_next_goes_on() -> None:
    a, b = MemoryPort(), MemoryPort()
    async with engine(a=a, b=b) as driver:
        b.refuse = OSError(errno.EINVAL, "no")
        a.inject(*(frame(BROADCAST, A, number) for number in range(3)))
        await until(lambda: len(b.sent) == 2)
        assert counters(driver, "b").dropped[Reason.IO_ERROR] == 1
        b.refuse = OSError(errno.EIO, "down")
        a.inject(frame(BROADCAST, A, 5))
        await until(lambda: counters(driver, "b").dropped[Reason.PORT_DOWN] == 1)


class Vanishing(MemoryPort):
    """A port whose device can go away."""

    gone: OSError | None = None

    def receive_burst(self, buffers: Sequence[memoryview]) -> list[memoryview]:
        if self.gone is not None:
            raise self.gone
        return super().receive_burst(buffers)


@on_both_loops
async def test_a_port_whose_device_is_gone_goes_down_and_costs_the_others_nothing() -> None:
    a, b, c = Vanishing(), MemoryPort(), MemoryPort()
    async with engine(a=a, b=b, c=c) as driver:
        a.inject(frame(BROADCAST, A))
        await until(lambda: b.sent)
        a.gone = OSError(errno.EBADFD, "gone")
        a.inject(frame(BROADCAST, A))
        await until(lambda: a.state is PortState.NOT_PRESENT)
        assert not driver.switch.ports["a"].up
        assert len(driver.switch.fdb) == 0
        b.inject(frame(A, B))
        await until(lambda: c.sent)


@on_both_loops
async def test_reading_while_the_link_is_down_is_a_state_and_not_an_end() -> None:
    a, b = Vanishing(), MemoryPort()
    async with engine(a=a, b=b):
        a.gone = OSError(errno.EIO, "down")
        a.inject(frame(BROADCAST, A))
        for _ in range(20):
            await asyncio.sleep(0)
        a.gone = None
        await until(lambda: b.sent)


@on_both_loops
async def test_a_detached_port_is_closed_and_forgotten() -> None:
    a, b = MemoryPort(), MemoryPort()
    async with engine(a=a, b=b) as driver:
        a.inject(frame(BROADCAST, A))
        await until(lambda: b.sent)
        await driver.detach("a")
        assert a.state is PortState.NOT_PRESENT
        assert list(driver.switch.ports) == ["b"]
        assert len(driver.switch.fdb) == 0
        with pytest.raises(KeyError):
            await driver.detach("a")


@on_both_loops
async def test_a_name_that_is_taken_closes_what_was_opened() -> None:
    async with engine(a=MemoryPort()) as driver:
        second = MemoryPort()
        with pytest.raises(ValueError, match="already"):
            await driver.attach(BridgePort("a"), second)
        assert second.state is PortState.NOT_PRESENT


@on_both_loops
async def test_a_port_without_offload_gets_no_virtio_net_header_that_asks_for_something() -> None:
    a, plain = MemoryPort(), MemoryPort(capabilities=Capabilities(Capability.NONE))
    async with engine(a=a, plain=plain) as driver:
        udp = bytes.fromhex(
            "ffffffffffff 020000000001 0800 4500 0020 0000 0000 4011 0000 0a000001 0a000002 1000 2000 000c"
        )
        pseudo = bytes.fromhex("1417")  # 10.0.0.1 + 10.0.0.2 + 17 + 12
        header = bytes.fromhex("01 00 0000 0000 2200 0600")  # needs_csum from 34 at 6
        a.inject(udp + pseudo + b"data" + bytes(14), header=header)
        await until(lambda: plain.sent)
        assert plain.sent[0][:HEADER] == bytes(HEADER)
        assert plain.sent[0][HEADER + 40 : HEADER + 42] != pseudo
        assert counters(driver, "plain").transmit.frames == [0, 0, 1]


class Delay(Stage):
    """Holds every frame back for a while: what the shape of a stage has timers for."""

    name = "delay"
    cacheable = False

    def __init__(self) -> None:
        self.held: list[tuple[float, Held]] = []

    def egress(self, frame: Frame, port: BridgePort, now: float) -> Hold:
        self.held.append((now + 0.01, Held(frame.kept(), port)))
        return HELD

    def next_deadline(self) -> float | None:
        return self.held[0][0] if self.held else None

    def handle_timer(self, now: float) -> Sequence[Held]:
        due = [held for when, held in self.held if when <= now]
        self.held = [(when, held) for when, held in self.held if when > now]
        return due


@on_both_loops
async def test_a_stage_s_timer_lets_frames_leave_later() -> None:
    a, b = MemoryPort(), MemoryPort()
    stage = Delay()
    async with engine(stage, a=a, b=b) as driver:
        a.inject(frame(BROADCAST, A, 3))
        await until(lambda: stage.held)
        assert not b.sent
        assert counters(driver, "a").dropped[Reason.NO_EGRESS] == 0
        while not b.sent:
            await asyncio.sleep(0.001)
        assert numbers(b) == [3]
        assert counters(driver, "b").transmit.frames == [0, 0, 1]


@on_both_loops
async def test_an_unheard_station_is_forgotten_by_the_timer() -> None:
    now = [0.0]
    a, b = MemoryPort(), MemoryPort()
    driver = Engine(Switch(ageing=10.0), clock=lambda: now[0])
    await driver.attach(BridgePort("a"), a)
    await driver.attach(BridgePort("b"), b)
    a.inject(frame(BROADCAST, A))
    await until(lambda: b.sent)
    assert len(driver.switch.fdb) == 1
    now[0] = 11.0
    driver._ring()
    assert len(driver.switch.fdb) == 0
    assert driver._timer is None, "nothing wakes up when there is nothing to wait for"
    await driver.close()


@on_both_loops
async def test_a_shorter_ageing_time_holds_at_once() -> None:
    now = [0.0]
    a, b, c = MemoryPort(), MemoryPort(), MemoryPort()
    driver = Engine(Switch(ageing=300.0), clock=lambda: now[0])
    for name, port in {"a": a, "b": b, "c": c}.items():
        await driver.attach(BridgePort(name), port)
    a.inject(frame(BROADCAST, A))
    await until(lambda: b.sent and c.sent)
    for number in range(3):
        b.inject(frame(A, B, number))
    await until(lambda: len(a.sent) == 3)
    assert len(c.sent) == 1
    now[0] = 20.0
    driver.set_ageing(30.0)
    assert len(driver.switch.fdb) == 2
    driver.set_ageing(10.0)
    assert len(driver.switch.fdb) == 0
    timers = [driver._timer]
    b.inject(frame(A, B, 3))
    await until(lambda: len(a.sent) == 4)
    assert numbers(c) == [0, 3], "a flood again, although its flow was known"
    driver.set_ageing(20.0)
    timers.append(driver._timer)
    assert [timer is None for timer in timers] == [True, False]
    await driver.close()


@on_both_loops
async def test_a_poll_looks_at_the_two_ports_with_the_last_traffic_by_itself() -> None:
    a, b = MemoryPort(), MemoryPort()
    driver = Engine(Switch(), clock=lambda: 0.0)
    driver._busy_poll.window = 1.0
    for name, port in {"a": a, "b": b}.items():
        await driver.attach(BridgePort(name), port)
    a.inject(frame(BROADCAST, A))
    await until(lambda: b.sent)
    b.inject(frame(A, B))
    await until(lambda: a.sent)
    a.inject(frame(B, A, 1))
    b.inject(frame(A, B, 2))
    driver._poll()
    assert (numbers(a), numbers(b)) == ([0, 2], [0, 1]), "nobody waited for the loop"
    await driver.close()


@on_both_loops
async def test_a_poll_ends_when_a_port_has_more_than_a_turn_of_frames() -> None:
    a, b = MemoryPort(), MemoryPort()
    driver = Engine(Switch(), clock=lambda: 0.0)
    driver._busy_poll.window = 1.0
    for name, port in {"a": a, "b": b}.items():
        await driver.attach(BridgePort(name), port)
    a.inject(frame(BROADCAST, A))
    await until(lambda: b.sent)
    a.inject(*(frame(BROADCAST, A, number) for number in range(1, 200)))
    driver._poll()
    assert numbers(b) == list(range(33)), "everybody else has a turn first"
    await until(lambda: len(b.sent) == 200)
    assert numbers(b) == list(range(200))
    await driver.close()


@on_both_loops
async def test_frames_that_take_long_to_decide_leave_the_others_their_turn() -> None:
    """Each look at the clock takes a millisecond here."""
    ticks = itertools.count()
    driver = Engine(Switch(), busy_poll=0, clock=lambda: next(ticks) / 1000)
    slow, other = SocketPort(), MemoryPort()
    await driver.attach(BridgePort("slow"), slow)
    await driver.attach(BridgePort("other"), other)
    asyncio.get_running_loop().remove_reader(slow.fileno())
    for number in range(20):
        slow.guest.send(bytes(HEADER) + frame(f"02:00:00:00:01:{number:02x}", A, number))
    assert driver._receive(driver.attached["slow"]), "more may wait"
    assert 1 <= len(other.sent) <= 4
    while driver._receive(driver.attached["slow"]):
        pass
    assert numbers(other) == list(range(20))
    await driver.close()


class SlowPort(MemoryPort):
    """Comes back, and is closed, not before it may."""

    seeks = True

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_come, self.may_go = threading.Event(), threading.Event(), threading.Event()

    def reopen(self) -> None:
        self.begun.set()
        self.may_come.wait(20)
        super().reopen()

    def close(self) -> None:
        self.may_go.wait(20)
        super().close()


@on_both_loops
async def test_a_port_that_goes_while_its_device_comes_back_is_not_watched() -> None:
    slow = SlowPort()
    async with engine(slow=slow) as driver:
        attached = driver.attached["slow"]
        driver._keeper.lose(attached)
        await until(slow.begun.is_set)
        going = asyncio.ensure_future(driver.detach("slow"))
        await until(lambda: not driver.attached)
        slow.may_come.set()
        async with asyncio.timeout(20):
            while attached.reviving:
                await asyncio.sleep(0.001)
        watched = attached.watched, attached.reading, attached.bridge.up
        slow.may_go.set()
        await going
        assert watched == (-1, False, False), "its descriptor is closed, and may be another port's by then"


class Short(MemoryPort):
    """Comes back once there is a descriptor for it, which is not at once."""

    seeks = True
    tries = 0

    def reopen(self) -> None:
        self.tries += 1
        if self.tries == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        super().reopen()


@on_both_loops
async def test_a_device_that_there_is_no_descriptor_for_comes_back_later() -> None:
    short = Short()
    async with engine(short=short) as driver:
        driver._keeper.lose(driver.attached["short"])
        async with asyncio.timeout(20):
            while not driver.switch.ports["short"].up:
                await asyncio.sleep(0.01)
        assert short.tries == 2
