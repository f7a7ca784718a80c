"""A switch whose ports and whose time are the test's: real rules, nothing of the kernel, the same outcome every time.

It is the switch that `vswitch run` runs, its engine and its stages included. Only its ports are in memory, and no
timer rings by itself: what is due happens in `step`, each thing at its own time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from vswitch.control.config import yaml
from vswitch.control.config.impairamend import amended
from vswitch.control.config.impairment import ImpairConfig
from vswitch.control.config.reading import ConfigError, build_model, cross_checks
from vswitch.control.config.schema import BridgeOptions, PortConfig, SwitchConfig, TopLevel
from vswitch.control.service import Service
from vswitch.core.offload import HEADER, PLAIN
from vswitch.engine import Engine
from vswitch.lab.nodes import Questions, impairment
from vswitch.lab.session import LoopThread
from vswitch.observe.pcapng import INBOUND, OUTBOUND, Packet
from vswitch.ports.base import Capabilities, Options, Port
from vswitch.ports.host import Host
from vswitch.ports.memory import MemoryPort
from vswitch.stages.impair import OPTION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vswitch.core.offload import Buffer
    from vswitch.core.switch import Switch

T = TypeVar("T")

PORTS: Final = ("a", "b", "c")
"""Of a switch of which nothing was said."""


class Arrival(NamedTuple):
    """A frame that left by a port. time: seconds since the begin of the test."""

    time: float
    frame: bytes


class _Clock:
    """Time that stands still."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class _Options(Options):
    memory: str


class _Port(MemoryPort):
    """A port that remembers when what left by it did."""

    def __init__(self, clock: _Clock) -> None:
        super().__init__(capabilities=Capabilities())
        self._clock = clock
        self.arrivals: list[Arrival] = []

    def send_burst(self, frames: Sequence[Buffer]) -> int:
        self.arrivals += [Arrival(self._clock.now, bytes(frame[HEADER:])) for frame in frames]
        return len(frames)


class _Engine(Engine):
    """An engine without timers."""

    def _arm(self, now: float) -> None:
        """Send what stages let go by now."""
        while (deadline := self.switch.stage_deadline()) is not None and deadline <= now:
            self._carry_out(self.switch.release(now))

    def step(self, clock: _Clock, until: float) -> None:
        """Let time pass, from one thing that is due to the next."""
        while (deadline := self.switch.next_deadline()) is not None and deadline <= until:
            clock.now = max(clock.now, deadline)
            self._ring()
        clock.now = until


class _Service(Service):
    """A switch with ports in memory."""

    engine: _Engine

    def __init__(self, config: SwitchConfig, clock: _Clock) -> None:
        self._clock = clock
        super().__init__(config, Host())

    def _driver(self, switch: Switch, config: SwitchConfig) -> Engine:  # noqa: ARG002
        return _Engine(switch, busy_poll=0.0, clock=self._clock)

    def _attachment(self, port: PortConfig) -> Port:  # noqa: ARG002
        return _Port(self._clock)


class SteppedSwitch(Questions):
    """One switch. Ports go by their names."""

    def __init__(self, config: Mapping[str, Any] | str | None = None) -> None:
        """config: as a file has it, as YAML or as a mapping, but for the ports' attachments; by default ports a, b, c.

        Raises ConfigError.
        """
        self._data = _data(config)
        self._clock = _Clock()
        self._sent: dict[str, list[Packet]] = {}
        first = self._config(self._data)
        self._thread = LoopThread()
        self._running = self._ask(lambda: _Service(first, self._clock))
        self._thread.do(self._running.start())

    def close(self) -> None:
        """End it."""
        self._thread.do(self._running.stop())
        self._thread.close()

    def __repr__(self) -> str:
        """When it is, too."""
        return f"<stepped switch of {', '.join(self._data['ports'])}, at {self.now:g} s>"

    @property
    def _service(self) -> Service:
        return self._running

    def _ask(self, question: Callable[[], T]) -> T:
        async def answer() -> T:
            return question()

        return self._thread.do(answer())

    # Ports

    def add(self, name: str, **options: Any) -> SteppedPort:
        """Add a port with options as in a file: access=10, isolated=True, impair={…}.

        Raises ConfigError, or ValueError where there is a port of that name.
        """
        if name in self._data["ports"]:
            raise ValueError(f"there is a port {name} already; `set` changes it")
        return self.set(name, **options)

    def set(self, name: str, **options: Any) -> SteppedPort:
        """Change options of a port, or add it; None takes an option away. Raises ConfigError."""
        merged = {**self._data["ports"].get(name, {}), **options}
        port = {key: value for key, value in merged.items() if value is not None}
        data = {**self._data, "ports": {**self._data["ports"], name: port}}
        self._thread.do(self._running.become(self._config(data)))
        self._data = data
        return SteppedPort(self, name)

    def port(self, name: str) -> SteppedPort:
        """Raises NotFoundError."""
        self._ask(lambda: self._running.bridge(name))
        return SteppedPort(self, name)

    def _config(self, data: dict[str, Any]) -> SwitchConfig:
        mistakes: list[yaml.Mistake] = []

        def wrong(path: yaml.Path, message: str) -> None:
            mistakes.append(yaml.Mistake(yaml.Mark(0, 0), path, message))

        ports = {}
        for name, options in data["ports"].items():
            bridge = build_model(BridgeOptions, options, ("ports", name), wrong, known=[])
            ports[name] = PortConfig(MemoryPort.kind, _Options(memory=name), bridge)
        top = build_model(TopLevel, {key: value for key, value in data.items() if key != "ports"}, (), wrong, known=[])
        for path, message in cross_checks(data):
            wrong(path, message)
        if mistakes:
            raise ConfigError.of(mistakes, "")
        return SwitchConfig(top, ports)

    # Frames and time

    @property
    def now(self) -> float:
        """Seconds since the begin of the test; they pass in `step` alone."""
        return self._clock.now

    def send(self, port: str, *frames: Any) -> None:
        """The guest of a port sends frames: octets, or packets of scapy. Raises NotFoundError."""
        octets = [bytes(frame) for frame in frames]

        def work() -> None:
            self._running.bridge(port)
            for each in octets:
                self._running.engine.inject(port, PLAIN + each)

        self._ask(work)
        sent = self._sent.setdefault(port, [])
        sent += [_packet(port, self.now, each, INBOUND) for each in octets]

    def step(self, seconds: float) -> None:
        """Let time pass: what is due happens, in order. Raises ValueError for a negative number."""
        self.step_to(self.now + seconds)

    def step_to(self, time: float) -> None:
        """Let it pass until then, in seconds since the begin. Raises ValueError where that has passed."""
        if time < self.now:
            raise ValueError(f"it is {self.now:g} s already, and time does not go back")
        self._ask(lambda: self._running.engine.step(self._clock, time))

    def next_event(self) -> float | None:
        """When something is due by itself: a frame that is held, a station that ages; None: nothing is."""
        return self._ask(self._running.switch.next_deadline)

    def received(self, port: str) -> list[bytes]:
        """What the guest of a port received so far, in order. Raises NotFoundError."""
        return [frame for _, frame in self.arrivals(port)]

    def arrivals(self, port: str) -> list[Arrival]:
        """The same with the time of each."""

        def work() -> list[Arrival]:
            self._running.bridge(port)
            attachment = self._running.engine.attached[port].port
            return list(attachment.arrivals) if isinstance(attachment, _Port) else []

        return self._ask(work)

    def packets(self, port: str) -> list[Packet]:
        """What its guest sent and received so far, as a capture has it; the time in nanoseconds since the begin."""
        received = [_packet(port, time, frame, OUTBOUND) for time, frame in self.arrivals(port)]
        return sorted([*self._sent.get(port, []), *received], key=lambda packet: packet.time)


class SteppedPort:
    """One port of it."""

    def __init__(self, switch: SteppedSwitch, name: str) -> None:
        """Of this switch."""
        self.switch = switch
        self.name = name

    def __repr__(self) -> str:
        """Its name says it."""
        return f"<port {self.name}>"

    def impair(
        self,
        *,
        out: Mapping[str, Any] | None = None,
        in_: Mapping[str, Any] | None = None,
        preset: str | None = None,
        seed: int | None = None,
    ) -> None:
        """Impair it as `vswitch.lab.Port.impair` does. Raises ConfigError."""
        before = self.switch._data["ports"][self.name].get(OPTION)
        config = ImpairConfig.model_validate(before) if before else None
        self.switch.set(self.name, **{OPTION: amended(config, impairment(preset, seed, in_, out))})

    def clear(self) -> None:
        """Impair it no more; what is on its way arrives at once."""
        self.switch.set(self.name, **{OPTION: None})
        self.switch.step(0.0)


def _data(config: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """What was said of a switch, each port as a mapping. Raises ConfigError."""
    document = yaml.load(config) if isinstance(config, str) else yaml.Document(config, {(): yaml.Mark(0, 0)}, [])
    data = {"ports": dict.fromkeys(PORTS)} if config is None else document.data
    mistakes = list(document.mistakes)
    ports = data.get("ports") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(ports, Mapping | None):
        mistakes.append(yaml.Mistake(yaml.Mark(0, 0), (), "expected a mapping with `ports:`, a mapping of their names"))
    if mistakes:
        raise ConfigError.of(mistakes, "")
    return {"name": "switch", **data, "ports": {name: dict(port or {}) for name, port in (ports or {}).items()}}


def _packet(port: str, time: float, frame: bytes, direction: int) -> Packet:
    return Packet(port, round(time * 1e9), frame, len(frame), direction, "", 0, 0)
