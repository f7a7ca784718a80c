"""What holds for each frame and each switch, whatever came before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.core import offload
from vswitch.core.explain import Explanation, explain
from vswitch.core.mirror import loss
from vswitch.core.offload import HEADER, MOST_TCP_SEGMENTS
from vswitch.core.verdict import LOSSES, Reason, Verdict

if TYPE_CHECKING:
    from vswitch.core.frame import TagEdit
    from vswitch.core.port import BridgePort
    from vswitch.core.switch import Switch
    from vswitch.core.verdict import Egress

LEAST_FORM = HEADER + 60
LONG_AGO = -1e18


def receive_as_explained(switch: Switch, raw: bytes, port: BridgePort, now: float) -> Verdict:
    """Receive a frame, having had it explained: the explanation changes nothing and comes true."""
    before = state(switch, now)
    answer = explain(switch, raw, port, now)
    foretold = outcome(answer)
    assert state(switch, now) == before, "an explanation changes nothing"
    generation = switch.generation
    verdict = switch.receive_raw(raw, port, now)
    assert type(verdict) is Verdict
    assert outcome(verdict) == foretold
    assert switch.generation >= generation
    check_steps(answer)
    check_verdict(verdict, port)
    return verdict


def check_steps(answer: Explanation) -> None:
    """Only the last rule can have dropped the frame, and every port says either how or why not."""
    assert all(step.reason is None for step in answer.steps[:-1])
    assert all(step.rule and step.saw for step in answer.steps)
    assert all((step.egress is None) == (step.reason is not None) and step.saw for step in answer.ports)


def check_verdict(verdict: Verdict, ingress: BridgePort) -> None:
    """Either dropped for a reason, or at ports that it leaves or is lost by, each once and none the ingress."""
    assert (verdict.reason is None) == bool(verdict.egress or verdict.lost)
    ports = [egress.port for egress in verdict.egress] + [port for port, _ in verdict.lost]
    assert len(set(ports)) == len(ports)
    assert ingress not in ports
    assert all(reason in LOSSES for _, reason in verdict.lost)
    for egress in verdict.egress:
        check_forms(egress)


def check_forms(egress: Egress) -> None:
    """What leaves by a port: well formed for it, and as much as is counted."""
    frame, edit, capability = egress.frame, egress.edit, egress.port.offload
    forms = frame.form(edit, capability)
    assert 1 <= len(forms) <= MOST_TCP_SEGMENTS
    assert len(forms) in (1, frame.segments)
    assert all(list(offload.lower(form, capability)) == [form] for form in forms), "the port can carry it as it is"
    whole = whole_form(egress)
    assert len(whole) >= LEAST_FORM
    segments, octets, longest = frame.wire(edit, whole)
    assert segments == frame.segments
    wire = offload.lower(whole, offload.Capability.NONE)
    assert len(wire) == segments
    if segments > 1:
        assert sum(len(each) - HEADER for each in wire) == octets
        assert max(len(each) - HEADER for each in wire) == longest == frame.longest + moved(frame.tpid, edit)
    if len(forms) == 1:
        assert frame.wire(edit, forms[0])[0] == frame.segments
    else:
        assert [bytes(form) for form in forms] == [bytes(each) for each in wire]


def whole_form(egress: Egress) -> bytes:
    """The frame as a port that completes everything gets it."""
    (whole,) = egress.frame.form(egress.edit, offload.Capability.ALL)
    return bytes(whole)


def moved(tpid: int, edit: TagEdit | None) -> int:
    """Octets by which an edit of the outer tag makes a frame longer."""
    return 0 if edit is None else 4 * bool(edit.tpid) - 4 * bool(tpid)


def outcome(answer: Verdict | Explanation) -> tuple[object, ...]:
    """What becomes of a frame: the reason, what leaves by each port, octet for octet, and what is lost where."""
    leaving = {egress.port.name: forms(egress) for egress in answer.egress}
    lost = {port.name: reason for port, reason in answer.lost}
    return answer.reason, leaving, lost, copied(answer)


def copied(answer: Verdict | Explanation) -> list[tuple[str, list[bytes]]]:
    """What mirrors send, and what is lost at their ports: nothing leaves there."""
    if isinstance(answer, Verdict):
        return [(copy.port.name, [] if loss(copy.frame, copy.port) else forms(copy)) for copy in answer.mirrored]
    return [(step.port.name, forms(step.egress) if step.egress else []) for step in answer.mirrors]


def forms(egress: Egress) -> list[bytes]:
    """The frames that leave by a port, each with its virtio-net header."""
    return [bytes(form) for form in egress.frame.form(egress.edit, egress.port.offload)]


def state(switch: Switch, now: float) -> tuple[object, ...]:
    """All of a switch's state that frames and rules change."""
    fdb = switch.fdb
    rows = [(row.vid, row.mac, row.port.name, row.static) for row in fdb.rows(LONG_AGO)]
    ages = [(row.vid, row.mac, row.age) for row in fdb.rows(now)]
    ports = [(port.name, port.up, port.settings, port.mtu, counted(port)) for port in switch.ports.values()]
    return switch.generation, rows, ages, ports, dict(fdb.sizes), fdb.moves, fdb.evictions, switch.next_deadline()


def counted(port: BridgePort) -> tuple[int, ...]:
    """Every counter of a port."""
    directions = (port.counters.receive, port.counters.transmit)
    traffic = [number for direction in directions for number in (direction.octets, *direction.frames)]
    return (*traffic, *(port.counters.dropped[reason] for reason in Reason))
