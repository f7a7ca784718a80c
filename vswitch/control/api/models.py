"""What the API says and takes, as models: the source of the JSON, of the OpenAPI document and of the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from vswitch.control.api.impairmodels import PortImpairment
from vswitch.core.mac import format_mac
from vswitch.units import vlan_ranges

if TYPE_CHECKING:
    from vswitch.control.config.schema import MirrorConfig
    from vswitch.core.explain import Explanation
    from vswitch.core.fdb import FdbRow
    from vswitch.core.stats import Direction, PortCounters


class Model(BaseModel):
    """Unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid")


class Traffic(Model):
    """One direction of a port: bytes without FCS, frames as on the wire."""

    bytes: int
    unicast: int
    multicast: int
    broadcast: int

    @classmethod
    def of(cls, direction: Direction) -> Self:
        """A copy of the counters."""
        unicast, multicast, broadcast = direction.frames
        return cls.model_construct(bytes=direction.octets, unicast=unicast, multicast=multicast, broadcast=broadcast)


class Queue(Model):
    """What waits to leave by a port, and how much may, in frames as they are written: a superframe is one."""

    length: int
    limit: int


class PortRow(Model):
    """One port, as `show ports --json` has it; netns is the inode number of its device's network namespace.

    speed: bits per second that its link is said to have, null where nobody says.
    """

    port: str
    attachment: str
    device: str | None
    netns: int | None
    state: Literal["up", "down", "not_present"]
    state_changes: int
    mtu: int
    speed: int | None
    queue: Queue
    vlan: dict[str, int | str | list[int | str]]
    receive: Traffic
    transmit: Traffic
    dropped: dict[str, int]
    impair: PortImpairment | None = None

    @staticmethod
    def counters(counters: PortCounters) -> dict[str, Any]:
        """The part of a row that counts."""
        return {
            "receive": Traffic.of(counters.receive),
            "transmit": Traffic.of(counters.transmit),
            "dropped": {reason.value: count for reason, count in counters.dropped.items()},
        }


class FdbRowModel(Model):
    """One station, as `show fdb --json` has it; age in seconds since it was last heard."""

    mac: str
    vlan: int
    port: str
    kind: Literal["static", "learned"]
    age: float

    @classmethod
    def of(cls, row: FdbRow) -> Self:
        """A copy of the entry."""
        kind: Literal["static", "learned"] = "static" if row.static else "learned"
        return cls.model_construct(
            mac=format_mac(row.mac), vlan=row.vid, port=row.port.name, kind=kind, age=round(row.age, 1)
        )


class VlanRow(Model):
    """One VLAN: the ports that are in it, by how frames leave them, and those whose untagged frames take it."""

    vlan: int
    tagged: list[str]
    untagged: list[str]
    pvid: list[str]


class MirrorRow(Model):
    """One mirror, as `show mirrors --json` has it; null stands for every port, or every VLAN."""

    mirror: str
    ports: list[str] | None
    vlans: list[int | str] | None
    direction: Literal["in", "out", "both"]
    to: str

    @classmethod
    def of(cls, name: str, config: MirrorConfig) -> Self:
        """In the words of the configuration."""
        return cls(
            mirror=name,
            ports=list(config.ports) if config.ports else None,
            vlans=vlan_ranges(config.vlans) if config.vlans else None,
            direction=config.direction,
            to=config.to,
        )


class SwitchInfo(Model):
    """The switch as a whole; times in seconds."""

    name: str
    version: str
    fastpath: str
    pid: int
    uptime: float
    vlan_filtering: bool
    ageing: float
    ports: int
    fdb_entries: int
    fdb_limit: int
    fdb_moves: int
    fdb_evictions: int
    captures: int
    fdb_flaps: int


class CollectorRow(Model):
    """One collector. datagrams: made for it.  lost: not sent, or refused by its host.  trouble: the last one."""

    collector: str
    datagrams: int = Field(ge=0)
    lost: int = Field(ge=0)
    trouble: str | None


class SflowModel(Model):
    """What sFlow does: no collectors where it is off. samples, counters: sent of either kind since the switch started.

    missed: frames that were to be samples and are none, by ports as they are now.  ifindex: of ports, by name.
    """

    agent: str | None
    sampling: int
    polling: float
    samples: int = Field(ge=0)
    counters: int = Field(ge=0)
    missed: int = Field(ge=0)
    collectors: list[CollectorRow]
    ifindex: dict[str, int]


class FlushRequest(Model):
    """What to forget: what was learned on a port, in a VLAN, both, or everywhere."""

    port: str | None = None
    vlan: int | None = Field(None, ge=1, le=4094)


class Flushed(Model):
    """How many entries were forgotten."""

    flushed: int


class ExplainRequest(Model):
    """A frame as hexadecimal octets, Ethernet header first, that might come in by `port`."""

    port: str
    frame: str = Field(max_length=200_000, examples=["ffffffffffff525400a832d70806"])


class StepModel(Model):
    """One rule: what it saw, and the reason where it dropped the frame."""

    rule: str
    saw: str
    reason: str | None


class PortStepModel(Model):
    """One port that the frame might leave by: the frames that leave there in hexadecimal, or the reason why not."""

    port: str
    saw: str
    reason: str | None
    frames: list[str]


class MirrorStepModel(PortStepModel):
    """One copy that a mirror sends: the frames that leave by its port, or the reason why the copy is lost there."""

    mirror: str


class ExplanationModel(Model):
    """What would happen to a frame, rule by rule. `reason` is null where it would be forwarded."""

    port: str
    verdict: Literal["forwarded", "dropped"]
    reason: str | None
    meaning: str | None
    vlan: int | None
    steps: list[StepModel]
    ports: list[PortStepModel]
    mirrors: list[MirrorStepModel]

    @classmethod
    def of(cls, port: str, explanation: Explanation) -> Self:
        """An explanation in the words of the API."""
        reason = explanation.reason
        return cls(
            port=port,
            verdict="forwarded" if explanation.egress else "dropped",
            reason=reason,
            meaning=reason.meaning if reason else None,
            vlan=explanation.vid,
            steps=[StepModel(rule=step.rule, saw=step.saw, reason=step.reason) for step in explanation.steps],
            ports=[
                PortStepModel(port=step.port.name, saw=step.saw, reason=step.reason, frames=step.frames())
                for step in explanation.ports
            ],
            mirrors=[
                MirrorStepModel(
                    mirror=step.mirror, port=step.port.name, saw=step.saw, reason=step.reason, frames=step.frames()
                )
                for step in explanation.mirrors
            ],
        )


class GuestModel(Model):
    """What a virtual machine is to be told to be the guest of a port.

    libvirt_parent: the element of a machine's XML that libvirt_xml belongs in.  netns: where QEMU has to run.
    interface: what has to be set up once QEMU runs.
    """

    port: str
    mac: str
    netns: str | None
    interface: str | None
    qemu_args: list[str]
    libvirt_xml: str
    libvirt_parent: Literal["devices", "domain"]


class AdoptRequest(Model):
    """A bridge of the kernel to take over, in a namespace (that of the switch by default)."""

    bridge: str = Field(max_length=15)
    netns: str | None = None
    dry_run: bool = False


class AdoptionModel(Model):
    """What taking a bridge over comes, or came, to: a line a change, and a line for all that is otherwise from now on.

    outage: seconds, at most, that a port was neither the bridge's nor the switch's.  took: those until all had moved.
    """

    bridge: str
    ports: list[str]
    changes: list[str]
    left: list[str]
    applied: bool
    outage: float | None
    took: float | None


class ReleaseRequest(Model):
    """The bridge to give back; all of them where none is named."""

    bridge: str | None = None


class ReleaseModel(Model):
    """Bridges that were given back."""

    bridges: list[str]


class Problem(Model):
    """Why a call was refused: one sentence, and one for each mistake where there are several."""

    error: str
    problems: list[str] = []


class DifferenceModel(Model):
    """What changes, or would change, one line a change."""

    changes: list[str]
    applied: bool
