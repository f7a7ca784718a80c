"""The switch: one frame comes in, a verdict comes out (IEEE 802.1Q-2018 clause 8.6, the forwarding process).

    ingress stages → VLAN classification → learning → lookup → egress rule, per candidate port → egress stages

It decides and counts; reading, sending and the time of day are the engine's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.core.fdb import DEFAULT_AGEING, DEFAULT_LIMIT, Fdb
from vswitch.core.frame import Frame
from vswitch.core.mac import ZERO, is_group
from vswitch.core.mirror import copies, watches
from vswitch.core.offload import HEADER
from vswitch.core.size import oversize
from vswitch.core.stage import Stage
from vswitch.core.stats import UNICAST
from vswitch.core.verdict import HELD, LOSSES, Egress, Reason, Released, Verdict, drop
from vswitch.core.vlan import DEFAULT_VID, classify, egress_edit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vswitch.core.mirror import Mirror, Watch
    from vswitch.core.offload import Buffer
    from vswitch.core.port import BridgePort, PortSettings
    from vswitch.core.verdict import Held, Hold


class Switch:
    """Ports, their rules and the filtering database of one learning domain.

    generation: grows with every change of ports and rules; a verdict cached under an older one is void. What becomes of
    a station is told by `fdb.changed`, and voids the verdicts of frames from and to that one.
    """

    def __init__(
        self,
        stages: Iterable[Stage] = (),
        *,
        vlan_filtering: bool = False,
        ageing: float = DEFAULT_AGEING,
        limit: int = DEFAULT_LIMIT,
    ) -> None:
        """A switch without ports, whose frames pass `stages` in this order. ageing (seconds), limit: see `Fdb`."""
        self.ports: dict[str, BridgePort] = {}
        self.stages: tuple[Stage, ...] = tuple(stages)
        self.vlan_filtering = vlan_filtering
        self.generation = 0
        self.fdb = Fdb(ageing=ageing, limit=limit)
        self.mirrors: tuple[Watch, ...] = ()
        self._mirrors: tuple[Mirror, ...] = ()
        self._members: dict[int, tuple[BridgePort, ...]] = {}
        self._ingress: list[Callable[[Frame, float], Verdict | None]] = []
        self._egress: list[Callable[[Frame, BridgePort, float], Frame | Reason | Hold | None]] = []
        self._wires: list[Callable[[Frame, BridgePort, float], Reason | Hold | None]] = []
        self._timed: list[Stage] = []
        self._cacheable = True
        self._singly_in: frozenset[BridgePort] = frozenset()
        self._singly_out: frozenset[BridgePort] = frozenset()

    # Ports

    def add_port(self, port: BridgePort) -> None:
        """Take a port in. Raises ValueError where the name is taken."""
        if port.name in self.ports:
            raise ValueError(f"there is a port {port.name} already")
        self.ports[port.name] = port
        self.ports_changed()

    def remove_port(self, name: str) -> BridgePort:
        """Let a port go, with every FDB entry of it. Raises KeyError where there is none of that name."""
        port = self.ports.pop(name)
        self.fdb.forget_port(port)
        self.ports_changed()
        return port

    def configure_port(self, name: str, settings: PortSettings) -> None:
        """Give a port new settings; what was learned in VLANs that it leaves is forgotten."""
        port = self.ports[name]
        left = port.settings.vlan.members - settings.vlan.members
        port.settings = settings
        if self.vlan_filtering:
            for vid in left:
                self.fdb.flush(port=port, vid=vid)
        self.ports_changed()

    def set_port_state(self, port: BridgePort, *, up: bool) -> None:
        """A port came up or went down; what was learned on one that went down is forgotten."""
        if port.up != up:
            port.up = up
            port.state_changes += 1
            if not up:
                self.fdb.flush(port=port, change="port_down")
            self.ports_changed()

    def set_vlan_filtering(self, on: bool) -> None:
        """Turn VLAN filtering on or off; what was learned under the other rule is forgotten."""
        if self.vlan_filtering != on:
            self.vlan_filtering = on
            self.fdb.flush()
            self.ports_changed()

    def set_mirrors(self, mirrors: Iterable[Mirror]) -> None:
        """Have these mirrors. What was learned on a port that is the destination of one from now on is forgotten."""
        self._mirrors = tuple(mirrors)
        before = {port for port in self.ports.values() if port.takes_copies}
        self.ports_changed()
        for port in self.ports.values():
            if port.takes_copies and port not in before:
                self.fdb.flush(port=port)

    def ports_changed(self) -> None:
        """Note that ports, their settings or their states are other than before."""
        self.mirrors = watches(self._mirrors, self.ports)
        ports = tuple(self.ports.values())
        for stage in self.stages:
            stage.ports_changed(ports)
        self._choose()
        self._members.clear()
        self.generation += 1

    def _choose(self) -> None:
        """Have the hooks of active stages, and no others."""
        active = [stage for stage in self.stages if stage.active]
        self._ingress = [hook for stage in active if (hook := getattr(stage, "ingress", None))]
        self._egress = [hook for stage in active if (hook := getattr(stage, "egress", None))]
        self._wires = [hook for stage in active if stage.is_wire and (hook := getattr(stage, "egress", None))]
        self._timed = [stage for stage in active if type(stage).next_deadline is not Stage.next_deadline]
        self._cacheable = all(stage.cacheable for stage in active)
        self._singly_in = frozenset(port for stage in active for port in stage.singly_in)
        self._singly_out = frozenset(port for stage in active for port in stage.singly_out)

    def members(self, vid: int) -> tuple[BridgePort, ...]:
        """The ports, up or not, that a frame in this VLAN may leave by; every port where VLAN filtering is off."""
        if vid not in self._members:
            self._members[vid] = tuple(p for p in self.ports.values() if self._is_member(p, vid))
        return self._members[vid]

    # Frames

    def receive_raw(self, raw: Buffer, port: BridgePort, now: float) -> Verdict:
        """Decide of the octets (virtio-net header first) that came in by `port`, learn from them and count them."""
        frame = Frame.parse(raw, port)
        return self.refuse(raw, port, frame) if isinstance(frame, Reason) else self.receive(frame, now)

    def refuse(self, raw: Buffer, port: BridgePort, reason: Reason) -> Verdict:
        """Count octets that came in by `port` and are no frame, for that reason."""
        port.counters.refuse(max(0, len(raw) - HEADER))
        port.counters.drop(reason)
        return drop(reason)

    def receive(self, frame: Frame, now: float) -> Verdict:
        """Decide of a frame that came in, learn from it and count it."""
        frame.port.counters.receive.count(frame.cast, frame.segments, frame.octets, frame.longest)
        verdict = self._admit(frame, now) or self._relay(frame, now)
        verdict.cacheable &= self._cacheable and frame.port not in self._singly_in
        return self._count(frame, verdict, came=True)

    def emit(self, frame: Frame, now: float) -> Verdict:
        """Decide of a frame that nobody sent, and that is to leave by its own port as it is.

        Rules of what is forwarded do not concern it; the wire to the guest and the port's mirrors do.
        """
        port = frame.port
        frame.vid = DEFAULT_VID if not self.vlan_filtering else classify(frame, port.settings.vlan) or 0
        for hook in self._wires if port.up else ():
            outcome = hook(frame, port, now)
            if outcome is HELD:
                return Verdict(held=(port,), cacheable=False)
            if outcome is not None:
                return self._count(frame, self._leave(frame, port, outcome))
        return self._count(frame, self._leave(frame, port, None))

    def _relay(self, frame: Frame, now: float) -> Verdict:
        """Learn from an admitted frame, and say where it goes."""
        known = self.fdb.learn(frame.vid, frame.source, frame.port, now)
        verdict = self.forward(frame, self.fdb.lookup(frame.vid, frame.destination, now), now)
        verdict.cacheable &= known  # the next frame may find room in the table, and then be answered otherwise
        return verdict

    def _count(self, frame: Frame, verdict: Verdict, *, came: bool = False) -> Verdict:
        """Count what is lost of a frame, and have it mirrored. came: it came in just now, and was not held."""
        if verdict.reason is not None:
            frame.port.counters.drop(verdict.reason, frame.segments)
        for port, reason in verdict.lost:
            port.counters.drop(reason, frame.segments)
        if self.mirrors:
            sent = copies(self.mirrors, frame, verdict.egress, received=came)
            verdict.mirrored = tuple(copy for _, copy in sent)
        return verdict

    def admit(self, frame: Frame) -> Reason | None:
        """The rules that every switch has for what comes in; sets the frame's VLAN where it passes them."""
        if not frame.port.up:
            return Reason.PORT_DOWN
        if is_group(frame.source) or frame.source == ZERO:
            return Reason.SOURCE_INVALID
        vid = classify(frame, frame.port.settings.vlan) if self.vlan_filtering else DEFAULT_VID
        if vid is None:
            return Reason.VLAN_FILTERED
        frame.vid = vid
        return None

    def forward(self, frame: Frame, found: BridgePort | None, now: float) -> Verdict:
        """Where an admitted frame goes whose destination is behind `found`; None: unknown, or a group."""
        known = frame.cast == UNICAST and found is not None
        candidates: Sequence[BridgePort] = (found,) if known and found is not None else self.members(frame.vid)
        egress: list[Egress] = []
        lost: list[tuple[BridgePort, Reason]] = []
        held: list[BridgePort] = []
        kept: Reason | None = None
        for port in candidates:
            fate = self.fate(frame, port, now)
            if isinstance(fate, Egress):
                egress.append(fate)
            elif fate is HELD:
                held.append(port)
            elif fate in LOSSES:
                lost.append((port, fate))
            else:
                kept = fate
        reason = None if egress or lost or held else kept if known else Reason.NO_EGRESS
        alike = not lost and self._singly_out.isdisjoint(candidates)  # a frame that is shorter than a lost one may fit
        return Verdict(reason, tuple(egress), tuple(lost), cacheable=alike, learned=True, held=tuple(held))

    def fate(self, frame: Frame, port: BridgePort, now: float) -> Egress | Reason | Hold:
        """How the frame leaves by one candidate port, or why it does not; HELD: it will later."""
        reason = self.egress_rule(frame, port)
        if reason is not None:
            return reason
        edit = egress_edit(frame, frame.vid, port.settings.vlan) if self.vlan_filtering else None
        for hook in self._egress:
            outcome = hook(frame, port, now)
            if outcome is HELD or isinstance(outcome, Reason):
                return outcome
            frame = outcome or frame
        return Reason.OVERSIZE if oversize(frame, port) else Egress(port, frame, edit)

    # Frames that a stage held

    def _released(self, held: Held, now: float) -> Verdict:
        """Decide of a frame that a stage lets go."""
        frame, port, reason = held
        if port is not None:
            return self._count(frame, self._leave(frame, port, reason))
        reason = reason or self.admit(frame)
        return self._count(frame, drop(reason) if reason else self._relay(frame, now))

    def _leave(self, frame: Frame, port: BridgePort, reason: Reason | None) -> Verdict:
        """By the one port that it was held for, if it still may: it has passed the stages."""
        edit = None
        if frame.port is port:  # no frame leaves by the port that it came in by: nobody sent this one
            reason = reason or (None if port.up else Reason.PORT_DOWN)
        else:
            reason = reason or self.egress_rule(frame, port) or (Reason.OVERSIZE if oversize(frame, port) else None)
            edit = egress_edit(frame, frame.vid, port.settings.vlan) if self.vlan_filtering else None
        if reason is not None:
            return Verdict(lost=((port, reason),), cacheable=False)
        return Verdict(egress=(Egress(port, frame, edit),), cacheable=False)

    def egress_rule(self, frame: Frame, port: BridgePort) -> Reason | None:
        """The one predicate of every switch: may this frame leave there? `oversize` is asked last."""
        if port is frame.port:
            return Reason.SAME_PORT
        if not port.up:
            return Reason.PORT_DOWN
        if self.vlan_filtering and not self._is_member(port, frame.vid):
            return Reason.VLAN_FILTERED
        return None

    # Time

    def next_deadline(self) -> float | None:
        """When `handle_timer` is wanted next, in seconds of the engine's clock; None: never."""
        return _first(self.stage_deadline(), self.fdb.next_deadline())

    def stage_deadline(self) -> float | None:
        """When a stage wants it next: the part of `next_deadline` that a frame may bring forward."""
        return _first(*[stage.next_deadline() for stage in self._timed]) if self._timed else None

    def handle_timer(self, now: float) -> list[Released]:
        """Do what is due: stations not heard expire, stages do theirs. What becomes of the frames that these held."""
        self.fdb.expire(now)
        return self.release(now)

    def release(self, now: float) -> list[Released]:
        """Have the stages do what is due; what becomes of the frames that they let go."""
        released: list[Released] = []
        changed = False
        for stage in self._timed:
            deadline = stage.next_deadline()
            if deadline is not None and deadline <= now:
                before = stage.singly_in, stage.singly_out
                released += [Released(held.frame, self._released(held, now)) for held in stage.handle_timer(now)]
                changed |= (stage.singly_in, stage.singly_out) != before
        if changed:
            self._choose()
        return released

    def _admit(self, frame: Frame, now: float) -> Verdict | None:
        reason = self.admit(frame)
        if reason is not None:
            return drop(reason)
        for hook in self._ingress:
            verdict = hook(frame, now)
            if verdict is not None:
                return verdict
        return None

    def _is_member(self, port: BridgePort, vid: int) -> bool:
        vlan = port.settings.vlan
        return not self.vlan_filtering or vid in vlan.untagged or vid in vlan.tagged


def _first(*deadlines: float | None) -> float | None:
    return min((deadline for deadline in deadlines if deadline is not None), default=None)
