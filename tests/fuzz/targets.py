"""What is fuzzed: each target takes any bytes and raises nothing but AssertionError, which is a finding."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tests.fuzz.script import STATIONS, Script, configuration, frame, text, value
from tests.property.agreement import Twins, native_twin
from tests.property.checks import receive_as_explained
from vswitch import units
from vswitch.control.config import reading as config
from vswitch.control.config.schema import SwitchConfig
from vswitch.core import offload
from vswitch.core.frame import C_TAG, S_TAG, TagEdit
from vswitch.core.mirror import Mirror
from vswitch.core.offload import HEADER, Capability
from vswitch.core.port import BridgePort, PortSettings
from vswitch.core.switch import Switch
from vswitch.core.vlan import PortVlan
from vswitch.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable

CAPABILITIES: Final = (Capability.NONE, Capability.CSUM, Capability.TSO, Capability.ALL)
EDITS: Final = (None, TagEdit(0, 0), TagEdit(C_TAG, 10), TagEdit(S_TAG, 20))
OUTER_TAGS: Final = (None, b"", C_TAG.to_bytes(2) + b"\xa0\x0a", S_TAG.to_bytes(2) + b"\x00\x14")
MOST_STEPS: Final = 24


def raw_frame(data: bytes) -> None:
    """The octets themselves, virtio-net header first, on a port that the first octet names."""
    script = Script(data)
    switch = small_switch(vlan_filtering=bool(script.number(2)))
    port = script.choose(tuple(switch.ports.values()))
    receive_as_explained(switch, script.rest(), port, 0.0)


def frames(data: bytes) -> None:
    """A script of frames on any ports, with time, ports that go and come, and VLAN filtering turned on and off."""
    script = Script(data)
    switch = small_switch(vlan_filtering=bool(script.number(4)))
    ports = tuple(switch.ports.values())
    now = 0.0
    for _ in range(MOST_STEPS):
        if script.ended:
            break
        match script.number(16):
            case 0:
                now += script.choose((1.0, 20.0, 31.0))
                switch.handle_timer(now)
            case 1:
                switch.set_port_state(script.choose(ports), up=bool(script.number(2)))
            case 2:
                switch.set_vlan_filtering(bool(script.number(4)))
            case _:
                receive_as_explained(switch, frame(script), script.choose(ports), now)


def header(data: bytes) -> None:
    """Virtio-net header and frame as they are, through `parse`, `lower` and `shift`."""
    check_header(data)


def headers(data: bytes) -> None:
    """The same with frames of a script."""
    script = Script(data)
    while not script.ended:
        check_header(frame(script))


def twins(data: bytes) -> None:
    """A script of flows and frames, for both flow tables; nothing where the C one is not built."""
    native = native_twin()
    if native is None:
        return
    script = Script(data)
    with Twins(native) as both:
        whole = bool(script.number(2))
        for _ in range(MOST_STEPS):
            check_twins(both, script, whole=whole)
            if script.ended:
                break


def yaml_text(data: bytes) -> None:
    """The text of a configuration file."""
    check_configuration(lambda: config.load(data.decode(errors="replace"), "lab.yml"))


def json_text(data: bytes) -> None:
    """A configuration that came by the API."""
    try:
        loaded = json.loads(data)
    except (ValueError, RecursionError):
        return
    check_configuration(lambda: config.validate(loaded))


def json_data(data: bytes) -> None:
    """The same, of a script."""
    script = Script(data)
    made: Any = configuration(script) if script.number(4) else value(script)
    check_configuration(lambda: config.validate(made))


def quantities(data: bytes) -> None:
    """Everything in `units`, of a text and of other JSON."""
    plain, pieces = data.decode(errors="surrogateescape"), text(Script(data))
    for parse in PARSERS:
        for given in (plain, pieces, plain.split(","), value(Script(data), 1)):
            try:
                parsed = parse(given)
            except ValueError:
                continue
            assert parse(again(parsed)) == parsed, "what was parsed can be written and parsed again"


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (raw_frame, frames, header, headers, twins, yaml_text, json_text, json_data, quantities)
}

PARSERS: Final[tuple[Callable[[Any], Any], ...]] = (
    units.parse_duration,
    units.parse_rate,
    units.parse_share,
    units.parse_vlans,
    units.parse_vid,
    units.parse_interface_name,
    units.parse_interface_pattern,
    units.parse_station,
    units.parse_port_name,
    units.parse_address,
    units.parse_listen,
)


def small_switch(*, vlan_filtering: bool) -> Switch:
    """Ports of every kind, with and without offload, and a table that soon is full."""
    switch = Switch((stage() for stage in STAGES), vlan_filtering=vlan_filtering, ageing=30.0, limit=5)
    red, blue = PortVlan.access(10), PortVlan.access(20)
    for name, vlan, capability, options in (
        ("red", red, Capability.NONE, {}),
        ("fast", red, Capability.ALL, {}),
        ("trunk", PortVlan.trunk((10, 20), native=1), Capability.TSO, {"reserved": "wire"}),
        ("tags", PortVlan.trunk((10, 20, 30)), Capability.NONE, {"reserved": "provider"}),
        ("left", blue, Capability.CSUM, {"isolated": True}),
        ("right", blue, Capability.NONE, {"isolated": True, "reserved": "wire"}),
        ("narrow", red, Capability.ALL, {}),
        ("down", red, Capability.ALL, {}),
        ("probe", red, Capability.NONE, {}),
    ):
        port = BridgePort(name, PortSettings(vlan, options), mtu=300 if name == "narrow" else 1500, offload=capability)
        switch.add_port(port)
    switch.set_port_state(switch.ports["down"], up=False)
    switch.set_mirrors([Mirror("copies", frozenset(("trunk",)), None, received=True, sent=True, to="probe")])
    switch.fdb.add_static(10, STATIONS[0], switch.ports["fast"], 0.0)
    switch.fdb.add_static(20, STATIONS[1], switch.ports["left"], 0.0)
    switch.fdb.add_static(1, STATIONS[2], switch.ports["red"], 0.0)
    return switch


def check_header(raw: bytes) -> None:
    """A header is refused, or its frame leaves any port, whatever becomes of its outer tag."""
    try:
        asked = offload.parse(raw)
    except offload.OffloadError:
        return
    if len(raw) < HEADER + 14:
        assert asked is None, "nothing is asked for what is no frame"
        return
    for capability in CAPABILITIES:
        lowered = offload.lower(raw, capability)
        assert len(lowered) in (1, asked.segments if asked else 1)
        assert asked is None or asked.needs not in capability or lowered == [raw]
    tagged = raw[HEADER + 12 : HEADER + 14] in (b"\x81\x00", b"\x88\xa8")
    for octets in (4, -4) if tagged else (4,):
        shifted = offload.shift(raw, octets)
        assert len(shifted) == HEADER
        assert not tagged or offload.shift(shifted, -octets)[4:] == raw[4:HEADER] or asked is None


def check_twins(both: Twins, script: Script, *, whole: bool) -> None:
    """The tables agree on a frame, unknown and known. whole: it is all that is left."""
    tags = tuple(script.choose(OUTER_TAGS) for _ in range(script.number(4)))
    offload, longest = Capability(script.number(128)), script.choose((1 << 30, script.number(2000)))
    most, octets = 1 + script.number(4), 1 + script.number(4000)
    raw = script.rest() if whole else frame(script)
    both.match(raw)
    both.know(raw)
    both.match(raw)
    both.know(raw, tags, offload=offload, longest=longest)
    both.match(raw)
    both.carry(memoryview(bytearray(raw)))
    both.burst([raw, frame(script), raw, raw], most, octets)


def check_configuration(load: Callable[[], SwitchConfig]) -> None:
    """A configuration that survives being dumped, or mistakes that can be shown."""
    try:
        loaded = load()
    except config.ConfigError as error:
        check_mistakes(error)
        return
    assert type(loaded) is SwitchConfig
    dumped = json.loads(json.dumps(loaded.dump()))
    assert config.validate(dumped).dump() == loaded.dump()
    for port in loaded.ports.values():
        port.settings()


def check_mistakes(error: config.ConfigError) -> None:
    """At least one, each with a sentence, and writable to any terminal and socket."""
    assert error.problems
    assert all(problem.message and problem.line >= 0 and problem.column >= 0 for problem in error.problems)
    assert str(error).encode(errors="replace").decode() == str(error), "no lone surrogates"


def again(parsed: object) -> object:
    """A parsed value as it is written."""
    if isinstance(parsed, frozenset):
        return units.vlan_ranges(parsed)
    return parsed if isinstance(parsed, (int, float)) else str(parsed)
