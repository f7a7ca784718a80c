"""What would happen to a frame, rule by rule, in the words of metrics and captures. It changes no state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vswitch.core.frame import ETHERNET_HEADER, Frame
from vswitch.core.mac import format_mac
from vswitch.core.mirror import copies, loss
from vswitch.core.offload import HEADER
from vswitch.core.size import oversize
from vswitch.core.stage import Step
from vswitch.core.stats import CASTS, UNICAST
from vswitch.core.verdict import LOSSES, Egress, Reason
from vswitch.core.vlan import VID_BITS, egress_edit

if TYPE_CHECKING:
    from vswitch.core.frame import TagEdit
    from vswitch.core.offload import Buffer
    from vswitch.core.port import BridgePort
    from vswitch.core.switch import Switch


@dataclass(frozen=True, slots=True)
class PortStep:
    """What becomes of the frame at one candidate port: it leaves there as `egress`, or does not, for `reason`."""

    port: BridgePort
    saw: str
    egress: Egress | None = None
    reason: Reason | None = None

    def frames(self) -> list[str]:
        """The frames that leave by this port, in hexadecimal from the Ethernet header on."""
        if self.egress is None:
            return []
        forms = self.egress.frame.form(self.egress.edit, self.port.offload)
        return [bytes(form[HEADER:]).hex() for form in forms]


@dataclass(frozen=True, slots=True)
class MirrorStep(PortStep):
    """What a mirror sends of the frame, or why its copy is lost at the mirror's port."""

    mirror: str = ""


@dataclass(slots=True)
class Explanation:
    """A verdict with its grounds: every rule, every port that the frame might have left by, every copy of a mirror.

    reason: why the frame was dropped as a whole; None where it was forwarded.
    """

    steps: list[Step] = field(default_factory=list)
    ports: list[PortStep] = field(default_factory=list)
    mirrors: list[MirrorStep] = field(default_factory=list)
    vid: int | None = None
    reason: Reason | None = None

    @property
    def egress(self) -> list[Egress]:
        """The ports that the frame leaves by, and how."""
        return [step.egress for step in self.ports if step.egress is not None]

    @property
    def lost(self) -> list[tuple[BridgePort, Reason]]:
        """The ports that the frame was meant for and cannot leave by."""
        return [(step.port, step.reason) for step in self.ports if step.reason in LOSSES and step.reason is not None]


def explain(switch: Switch, raw: Buffer, port: BridgePort, now: float) -> Explanation:
    """Say what `Switch.receive_raw` would do with these octets (virtio-net header first) on `port`, and why."""
    explanation = Explanation()
    parsed = Frame.parse(raw, port)
    if isinstance(parsed, Reason):
        return _dropped(explanation, Step("frame", parsed.meaning, parsed))
    explanation.steps.append(Step("frame", _describe(parsed)))
    _decide(switch, parsed, now, explanation)
    for watch, copy in copies(switch.mirrors, parsed, explanation.egress):
        explanation.mirrors.append(_mirror_step(watch.name, copy))
    return explanation


def _decide(switch: Switch, parsed: Frame, now: float, explanation: Explanation) -> None:
    for step in _ingress_steps(switch, parsed, now):
        explanation.steps.append(step)
        if step.reason is not None:
            explanation.reason = step.reason
            return
    explanation.vid = parsed.vid
    found = _address_steps(switch, parsed, now, explanation)
    known = parsed.cast == UNICAST and found is not None
    candidates = (found,) if known and found is not None else switch.members(parsed.vid)
    explanation.ports = [_port_step(switch, parsed, candidate, now) for candidate in candidates]
    if not explanation.egress and not explanation.lost:
        explanation.reason = explanation.ports[0].reason if known else Reason.NO_EGRESS


def _dropped(explanation: Explanation, step: Step) -> Explanation:
    explanation.steps.append(step)
    explanation.reason = step.reason
    return explanation


def _describe(frame: Frame) -> str:
    words = [f"{format_mac(frame.source)} to {format_mac(frame.destination)} ({CASTS[frame.cast]})"]
    if frame.tpid:
        vid, priority = frame.tci & VID_BITS, frame.tci >> 13
        words.append(f"tag {frame.tpid:#06x} VID {vid} priority {priority}")
    words.append(f"{frame.octets} octets" + (f" in {frame.segments} segments" if frame.segments > 1 else ""))
    return ", ".join(words)


def _ingress_steps(switch: Switch, frame: Frame, now: float) -> list[Step]:
    """The rules before learning, in their order, as far as they let the frame go."""
    reason = switch.admit(frame)
    if reason in (Reason.PORT_DOWN, Reason.SOURCE_INVALID):
        return [Step("admission", reason.meaning, reason)]
    steps = [Step("admission", f"port {frame.port.name} is up, the source is an individual address")]
    steps.append(Step("vlan_ingress", _vlan_words(switch, frame, reason), reason))
    if reason is None:
        steps += [stage.explain_ingress(frame, now) for stage in switch.stages if stage.active and _rules(stage)]
    return steps


def _rules(stage: object) -> bool:
    return callable(getattr(stage, "ingress", None))


def _vlan_words(switch: Switch, frame: Frame, reason: Reason | None) -> str:
    if not switch.vlan_filtering:
        return "VLAN filtering is off: tags are payload, everything is VLAN 1"
    vid, name = frame.tci & VID_BITS, frame.port.name
    if vid == 0:
        kind = "priority-tagged" if frame.tpid else "untagged"
        return f"{kind}, and port {name} has no PVID" if reason else f"{kind}: takes PVID {frame.vid} of port {name}"
    return f"port {name} is {'no' if reason else 'a'} member of VLAN {vid}"


def _address_steps(switch: Switch, frame: Frame, now: float, explanation: Explanation) -> BridgePort | None:
    """Learning and lookup; the port that the destination is behind."""
    learning, found = switch.fdb.preview(frame.vid, frame.source, frame.port, frame.destination, now)
    explanation.steps.append(Step("learning", f"{format_mac(frame.source)} in VLAN {frame.vid} {learning}"))
    if frame.cast != UNICAST:
        words = f"{CASTS[frame.cast]}: floods in VLAN {frame.vid}"
    elif found is None:
        words = f"{format_mac(frame.destination)} is unknown in VLAN {frame.vid}: floods"
    else:
        words = f"{format_mac(frame.destination)} in VLAN {frame.vid} is behind port {found.name}"
    explanation.steps.append(Step("lookup", words))
    return found


def _port_step(switch: Switch, frame: Frame, port: BridgePort, now: float) -> PortStep:
    reason = switch.egress_rule(frame, port)
    if reason is not None:
        return PortStep(port, reason.meaning, reason=reason)
    edit = egress_edit(frame, frame.vid, port.settings.vlan) if switch.vlan_filtering else None
    for stage in switch.stages:
        outcome = stage.explain_egress(frame, port, now) if stage.active else None
        if isinstance(outcome, Reason):
            return PortStep(port, outcome.meaning, reason=outcome)
        frame = outcome or frame
    later = [words for stage in switch.stages if stage.active and (words := stage.foretell(frame, port, now))]
    if oversize(frame, port):
        longest = frame.longest - ETHERNET_HEADER
        return PortStep(port, f"{longest} octets of payload, the port's MTU is {port.mtu}", reason=Reason.OVERSIZE)
    return PortStep(port, "; ".join([_form_words(edit), *later]), egress=Egress(port, frame, edit))


def _mirror_step(name: str, copy: Egress) -> MirrorStep:
    port, frame, edit = copy
    reason = loss(frame, port)
    saw = f"a copy {_form_words(edit)}" if reason is None else reason.meaning
    return MirrorStep(port, saw, None if reason else copy, reason, name)


def _form_words(edit: TagEdit | None) -> str:
    return "as it came" if edit is None else f"with VLAN tag {edit.tci & VID_BITS}" if edit.tpid else "untagged"
