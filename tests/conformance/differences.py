"""What other switches do otherwise, by name and with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.conformance.comparison import Difference
from tests.conformance.frames import RESERVED
from tests.conformance.settings import ACCESS
from vswitch.core.frame import S_TAG
from vswitch.core.mac import ZERO, is_group

if TYPE_CHECKING:
    from tests.conformance.comparison import Relay
    from tests.conformance.frames import Sent
    from tests.conformance.ours import Egress

_PLAIN_TYPE = b"\x88\xb6"  # IEEE 802 local experimental EtherType 2
_TAG = 4
_DEI = 0x1000
_GROUP = bytes.fromhex("030000000042")  # every switch floods it: it stands in for one that ours keeps to itself
_NOBODY = bytes.fromhex("020000000043")  # no frame is ever sent to it
_SOMEBODY = bytes.fromhex("020000000044")  # a station that no random frame knows of
_LEAST_TAGGED = 20  # octets
_LEAST_TAGGED_TWICE = 22
_VENDOR_MACS = "00e02b000000 00e02b000004 00e02b000006 01000c000000 01000ccccccc 01000ccccccd 01000ccdcdcd"
_VENDORS = [bytes.fromhex(mac) for mac in _VENDOR_MACS.split()]


def _dropped(_sent: Sent, _relay: Relay) -> Egress:
    return ()


def _as_group(sent: Sent, relay: Relay) -> Egress:
    """Flooded (and the source learned) like any group address."""
    return tuple((port, sent.destination + octets[6:]) for port, octets in relay(sent.altered(_GROUP)))


def _learned_alone(sent: Sent, relay: Relay) -> Egress:
    _as_group(sent, relay)
    return ()


def _cut(sent: Sent, relay: Relay) -> Egress:
    return tuple((port, _unpadded(octets, sent)) for port, octets in relay(sent))


def _unpadded(octets: bytes, sent: Sent) -> bytes:
    """The octets without padding: the tag was kept, popped, pushed or replaced, and zeros follow what came."""
    whole, untagged = sent.octets[12:], sent.octets[16 if sent.tpid else 12 :]
    for start, body in ((12, whole), (12, untagged), (16, whole), (16, untagged)):
        end = start + len(body)
        if octets.startswith(body, start) and not any(octets[end:]):
            return octets[:end]
    raise AssertionError(f"{octets.hex()} is not made of {sent!r}")


def _untagged(sent: Sent, relay: Relay) -> Egress:
    """As if its TPID were an EtherType that says nothing to a switch."""
    like = sent.altered(octets=sent.octets[:12] + _PLAIN_TYPE + sent.octets[14:])
    tag = S_TAG.to_bytes(2)
    return tuple((port, octets[:12] + octets[12:].replace(_PLAIN_TYPE, tag, 1)) for port, octets in relay(like))


def _without_dei(sent: Sent) -> Sent:
    tci = sent.tci & ~_DEI
    return sent.altered(octets=sent.octets[:14] + tci.to_bytes(2) + sent.octets[16:])


def _from_nobody(sent: Sent, relay: Relay) -> Egress:
    """As if its source were an individual address that nobody ever sends to."""
    like = sent.altered(octets=sent.destination + _NOBODY + sent.octets[12:])
    return tuple((port, octets[:6] + sent.source + octets[12:]) for port, octets in relay(like))


def _zero_is_a_station(sent: Sent, relay: Relay) -> Egress:
    """As if the zero address were another, which nobody else has."""
    source, destination = (_SOMEBODY if mac == ZERO else mac for mac in (sent.source, sent.destination))
    like = sent.altered(octets=destination + source + sent.octets[12:])
    return tuple((port, sent.octets[:12] + octets[12:]) for port, octets in relay(like))


def _second_tag_cut_short(sent: Sent) -> bool:
    return bool(sent.tpid) and sent.octets[16:18] == b"\x81\0" and len(sent.octets) < _LEAST_TAGGED_TWICE


def _reserved(sent: Sent) -> int | None:
    """The last octet of a reserved address; None for any other."""
    return sent.octets[5] if sent.octets[:5] == RESERVED and len(sent.octets) > 5 and sent.octets[5] < 16 else None


NOT_PADDED = Difference(
    "short frames stay short",
    "A TAP carries no FCS and has no least length, so that the kernel forwards 14 octets as 14. Ours pads with zeros "
    "to the 60 that IEEE 802.3 asks for.",
    lambda sent: len(sent.octets) < 60 + _TAG,
    _cut,
)

TAG_CUT_SHORT = Difference(
    "a tag cut short is dropped",
    "The kernel's skb_vlan_untag() wants the tag and two octets after it, and frees the frame that lacks them, before "
    "a bridge has seen it. To ours, what is missing is the zeros that it pads with.",
    lambda sent: bool(sent.tpid) and len(sent.octets) < _LEAST_TAGGED,
    _dropped,
)

BPDUS_RELAYED = Difference(
    "BPDUs are relayed",
    "br_handle_frame() forwards 01-80-C2-00-00-00 while spanning tree is off, lest it break somebody else's. In ours "
    "a port's profile says so: 'bridge', the default, keeps to Table 8-1 of IEEE 802.1Q.",
    lambda sent: _reserved(sent) == 0x00,
    _as_group,
)

RESERVED_TEACH = Difference(
    "reserved addresses teach",
    "br_handle_local_finish() learns the source of a frame to 01-80-C2-00-00-02 … 0F (unless no_linklocal_learn is "
    "set), then keeps the frame. Ours drops it before learning: nothing of it enters the switch.",
    lambda sent: _reserved(sent) not in (None, 0x00, 0x01),
    _learned_alone,
)


KERNEL = (NOT_PADDED, TAG_CUT_SHORT, BPDUS_RELAYED, RESERVED_TEACH)

VLAN_KERNEL = (
    NOT_PADDED,
    TAG_CUT_SHORT,
    Difference(
        "an S-tag is payload",
        "A bridge knows one TPID (vlan_protocol), 0x8100 unless told otherwise, and __allowed_ingress() takes a frame "
        "with another tag for untagged. Ours knows the VID by either TPID.",
        lambda sent: sent.tpid == S_TAG,
        _untagged,
    ),
    BPDUS_RELAYED,
    RESERVED_TEACH,
)

BRIDGE_NETFILTER = Difference(
    "a second tag cut short is dropped",
    "br_nf_pre_routing() wants the whole of an 802.1Q header that follows the tag already taken off, even where no "
    "firewall is to be called; br_handle_frame() keeps reserved addresses before they get there. Only where the kernel "
    "has br_netfilter, hence apart from the others.",
    lambda sent: _second_tag_cut_short(sent) and _reserved(sent) in (None, 0x00),
    _dropped,
)

OPEN_VSWITCH = (
    NOT_PADDED,
    Difference(
        "DEI is lost",
        "The kernel hands the outer tag over beside the frame (PACKET_AUXDATA), and eth_push_vlan() puts it back "
        "without bit 12, which to Open vSwitch only says that there is a tag. Ours keeps DEI with the PCP.",
        lambda sent: bool(sent.tci & _DEI),
        lambda sent, relay: relay(_without_dei(sent)),
    ),
    TAG_CUT_SHORT,
    Difference(
        "group sources are forwarded",
        "mac_learning_may_learn() passes over a group source, and its frame goes on. Ours drops what no station can "
        "have sent, as the kernel bridge does.",
        lambda sent: is_group(sent.octets[6:12].ljust(1, b"\0")),
        _from_nobody,
    ),
    Difference(
        "the zero address is a station",
        "Open vSwitch learns 00-00-00-00-00-00 like any other; ours takes it for the mistake that it is.",
        lambda sent: ZERO in (sent.source, sent.destination),
        _zero_is_a_station,
    ),
    Difference(
        "vendors' protocols are reserved too",
        "eth_addr_is_reserved() adds Extreme's and Cisco's own addresses to those of IEEE 802.1Q, and while "
        "forward-bpdu is off is_admissible() drops them all. To ours they are groups (and stations) like any other.",
        lambda sent: sent.destination in _VENDORS,
        _dropped,
    ),
    Difference(
        "access ports drop their own VID",
        "input_vid_is_valid() wants no tag, or VID 0, on an access port. Ours takes the port's own VID in too, as the "
        "kernel bridge does and IEEE 802.1Q-2018 clause 8.6.2 has it for a member port that admits all frames.",
        lambda sent: sent.port in ACCESS and sent.vid != 0,
        _dropped,
    ),
)
