"""The one shape of an attachment: what a port is connected to.

A frame crosses this interface with its virtio-net header in front (ten octets, see `core.offload`), whatever the
attachment itself uses. What may block (netlink, namespaces) is marked so and called in a worker thread; all else is
called on the event loop and never blocks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

from vswitch.core.offload import Capability
from vswitch.core.port import DEFAULT_MTU

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.core.offload import Buffer
    from vswitch.core.verdict import Reason
    from vswitch.ports.host import Host
    from vswitch.ports.links import Link
    from vswitch.ports.netns import Namespace

BURST_OCTETS = 256 * 1024
"""A burst ends once it holds this much, so that superframes are still in the cache when they are sent."""


class PortError(Exception):
    """An attachment cannot be had: one sentence that says what is missing and what to do."""


class PeerError(OSError):
    """The far end breaks the rules of its connection, which has to end: the reason that counts, and one sentence."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        """reason: what is counted."""
        super().__init__(sentence)
        self.reason = reason


class PortState(StrEnum):
    """ifOperStatus of RFC 2863, as far as a port has it."""

    UP = "up"
    DOWN = "down"
    NOT_PRESENT = "not_present"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """offload: what the attachment completes by itself.  mtu: octets of payload that fit a frame.

    speed: bits per second that the link is said to have, which holds nobody to it; None where nobody says.
    """

    offload: Capability = Capability.NONE
    mtu: int = DEFAULT_MTU
    speed: int | None = None


@dataclass(frozen=True, slots=True)
class Cable:
    """What a virtual machine is told of its end.

    netdev: QEMU's `-netdev` argument, without an id.  libvirt: the type of its `<interface>` and the elements in it
    with their attributes, in libvirt's words; None where libvirt has none and QEMU's have to do.
    netns: the namespace that QEMU has to run in.  interface: one that has to be set up, which QEMU itself does not do.
    """

    netdev: str
    libvirt: tuple[str, dict[str, dict[str, str]]] | None = None
    netns: str | None = None
    interface: str | None = None


def qemu_word(value: object) -> str:
    """A value as it stands in an argument of QEMU, whose commas part."""
    return str(value).replace(",", ",,")


class Options(BaseModel):
    """The part of a port's configuration that belongs to its attachment; the key that names its kind comes first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    identity: ClassVar[tuple[str, ...]] = ("netns",)
    """The options that `device` looks at beside the key of the kind."""

    def device(self) -> object:
        """What no other port may be attached to, too; None where that cannot be told."""
        return None


class Port(ABC):
    """An attachment. Its constructor takes its options and its host, and does nothing else."""

    kind: ClassVar[str]
    """The key that names the attachment in a configuration."""

    options_type: ClassVar[type[Options]] = Options
    """What its part of a configuration is."""

    reads_direct: bool = False
    writes_direct: bool = False
    """Whether each frame, its ten-octet header in front, is one read, or one write, of `fileno()`."""

    packet: bool = False
    """Whether that read is of a packet socket, which tells of a tag beside the frame."""

    far_end: ClassVar[str] = "device"
    """What a port without is down for want of."""

    seeks: bool = False
    """Whether, without device, it is to be reopened again and again, since nothing tells when that may succeed."""

    def __init__(self, options: Options, host: Host) -> None:
        """Not open yet."""
        self.options = options
        self.host = host
        self.state = PortState.NOT_PRESENT
        self.capabilities = Capabilities()
        self.device: str | None = None
        """The network interface, where there is one."""
        self.index = 0
        """The interface's, in its namespace."""
        self.namespace: Namespace | None = None
        """Where the interface lives; the engine watches its links."""

    @abstractmethod
    def open(self) -> None:
        """Make or find the device and take hold of it. Raises PortError, leaving nothing behind. May block."""

    @abstractmethod
    def close(self) -> None:
        """Let go: remove what was made, give back what was taken. Never raises; safe to call twice. May block."""

    @abstractmethod
    def fileno(self) -> int:
        """The descriptor that turns readable when frames wait."""

    def send_fileno(self) -> int:
        """The descriptor that turns writable once frames are taken again."""
        return self.fileno()

    def doorbell(self) -> int:
        """Without device: the descriptor that turns readable when a far end may have come; -1: none comes."""
        return -1

    def answer(self) -> None:
        """The doorbell rang: let the far end in, if there is one. Raises OSError where nobody can be for now."""
        raise NotImplementedError

    @abstractmethod
    def receive_burst(self, buffers: Sequence[memoryview]) -> list[memoryview]:
        """Read one frame into each of `buffers` until none waits; the filled parts, good until the next call.

        Raises OSError where the device is gone or down, PeerError where the far end is to be let go.
        """

    def pending(self) -> bool:
        """Whether frames wait of which the descriptor does not tell."""
        return False

    def unfinished(self) -> int | None:
        """Which frame it is whose beginning came without its end, by a number of its own; None: there is none."""
        return None

    @abstractmethod
    def send_burst(self, frames: Sequence[Buffer]) -> int:
        """Send frames in order; how many were taken. Fewer than given: not now, ask again when writable.

        It is then asked again with the first of those that are left, so it may have sent a part of that one.
        Raises OSError where the first of them was refused.
        """

    def cable(self) -> Cable | None:
        """How a virtual machine has the other end of this port; None where none can."""
        return None

    def change(self, options: Options) -> bool:  # noqa: ARG002
        """Take on new options in place; False where the attachment has to be made anew.

        Raises PortError, with the old options in force. May block.
        """
        return False

    def owns(self, link: Link) -> bool:  # noqa: ARG002
        """Whether this interface is the port's."""
        return False

    def link_changed(self, link: Link) -> None:  # noqa: B027
        """The port's interface is now as `link` says."""

    def locate(self) -> bool:
        """The interface left its namespace: whether the port still holds it somewhere else. May block."""
        return False

    def lose(self) -> None:  # noqa: B027
        """The device is gone: close what is open, keep what `reopen` needs. May block."""

    def wants(self, link: Link) -> bool:  # noqa: ARG002
        """Whether a port that lost its device finds it again in this interface."""
        return False

    def reopen(self) -> None:
        """Take hold of a device that came back. Raises PortError. May block."""
        raise PortError(f"a {self.kind} port does not come back")
