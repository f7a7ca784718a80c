"""Expectations of a test at ports and guests, with patience: of real time in a lab, of stepped time at memory ports."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

from vswitch.lab.capture import Where, capture, passed, words
from vswitch.lab.matching import matcher, summary
from vswitch.lab.nodes import PortNode
from vswitch.testing.stepped import SteppedPort

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vswitch.lab.capture import Capturing, Direction
    from vswitch.lab.living import GuestNode
    from vswitch.lab.matching import Pattern
    from vswitch.lab.session import Session
    from vswitch.observe.pcapng import Packet

    Place: TypeAlias = PortNode | GuestNode | SteppedPort | str


class Expect:
    """`expect(port, IP(dst="10.0.0.2") / ICMP())`, and `expect.none(…)`.

    Of a lab that it watches it has seen every frame since that came up, of another all since the first expectation.
    """

    def __init__(self) -> None:
        """Nothing is watched yet."""
        self.named: Callable[[str], PortNode | GuestNode | SteppedPort] | None = None
        """Whoever has a name: a guest of the test's lab, or a port of its switch."""
        self._captures: dict[Path, Capturing] = {}
        self._stack = ExitStack()

    def close(self) -> None:
        """Watch no more."""
        self._stack.close()

    def watch(self, session: Session) -> None:
        """See all that passes in a lab from now on."""
        for name in session.config.switches:
            self._at(session.service(name).config.control_path)

    def __call__(
        self, where: Place, pattern: Pattern, timeout: float = 5.0, direction: Direction | None = None
    ) -> Packet:
        """The first packet that matches at a port, or at a guest's, of those that passed or will in `timeout` seconds.

        where: the name of a guest of `lab` or of a port of `switch` will do.  pattern, direction: as `Capturing.expect`
        has them.  Raises AssertionError with what passed instead, ValueError for a guest of several switches.
        """
        where = self._place(where)
        if isinstance(where, SteppedPort):
            found = _step_until(where, pattern, timeout, direction)
            if found is None:
                raise AssertionError(_instead(where, pattern, timeout, direction))
            return found
        capturing, port = self._capture(where)
        return capturing.expect(pattern, timeout, direction, port=port)

    def none(self, where: Place, pattern: Pattern, within: float = 0.5, direction: Direction | None = None) -> None:
        """See that nothing matches, of what passed or will within so many seconds. Raises AssertionError."""
        where = self._place(where)
        if not isinstance(where, SteppedPort):
            capturing, port = self._capture(where)
            capturing.expect_none(pattern, within, direction, port=port)
        elif (found := _step_until(where, pattern, within, direction)) is not None:
            raise AssertionError(f"this was to match nothing: {words(pattern)}; there is\n  {summary(found, pattern)}")

    def _place(self, where: Place) -> PortNode | GuestNode | SteppedPort:
        if not isinstance(where, str):
            return where
        if self.named is None:
            raise ValueError(f"{where!r} is a name, and there is neither a lab nor a switch: say a port or a guest")
        return self.named(where)

    def _capture(self, where: PortNode | GuestNode) -> tuple[Capturing, list[str]]:
        session = where.session
        places = [(where.switch, where.name)] if isinstance(where, PortNode) else where.places
        switches = {switch for switch, _ in places}
        if len(switches) != 1:
            raise ValueError(f"{where!r} is plugged into {len(switches)} switches: expect it at one of its ports")
        control = session.service(switches.pop()).config.control_path
        return self._at(control), [port for _, port in places]

    def _at(self, control: Path) -> Capturing:
        if control not in self._captures:
            self._captures[control] = self._stack.enter_context(capture(switch=control))
        return self._captures[control]


def _step_until(port: SteppedPort, pattern: Pattern, seconds: float, direction: Direction | None) -> Packet | None:
    """Step from one event to the next until a packet matches, for so long at most."""
    switch, matches = port.switch, Where((), direction).only(matcher(pattern))
    until = switch.now + seconds
    seen = 0
    while True:
        packets = switch.packets(port.name)
        found = next(filter(matches, packets[seen:]), None)
        seen = len(packets)
        if found is not None or switch.now >= until:
            return found
        event = switch.next_event()
        switch.step_to(until if event is None else min(event, until))


def _instead(port: SteppedPort, pattern: Pattern, timeout: float, direction: Direction | None) -> str:
    begin = f"no packet matched within {timeout:g} s: {words(pattern)}{Where(port.name, direction)}"
    return "\n".join([begin, *passed(port.switch.packets(port.name), pattern)])
