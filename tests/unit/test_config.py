"""Configurations: what they mean, and every mistake of one at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.running import vswitch
from vswitch.control.config import reading as config
from vswitch.control.config.reading import ConfigError
from vswitch.core.mirror import Mirror
from vswitch.core.vlan import PortVlan
from vswitch.ports import ATTACHMENTS

if TYPE_CHECKING:
    from vswitch.control.config.schema import SwitchConfig

BROKEN = Path(__file__).parents[1] / "data" / "broken.yml"


def load(text: str) -> SwitchConfig:
    return config.load(text, "lab.yml")


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(text)
    return [problem.text() for problem in error.value.problems]


def port(options: str, head: str = "") -> list[str]:
    return problems(f"name: x\n{head}ports:\n  a: {options}\n")


def test_every_mistake_of_a_file_is_named_with_its_line_at_once() -> None:
    result = vswitch("check", str(BROKEN))
    assert (result.returncode, result.stdout) == (2, "")
    lines = [line.removeprefix(f"{BROKEN}:") for line in result.stderr.splitlines()]
    assert [int(line.split(":")[0]) for line in lines] == [
        3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25,
    ]  # fmt: skip
    assert lines[0] == "3: agein: unknown key; did you mean ageing?"
    kinds = ", ".join(ATTACHMENTS)
    assert lines[3] == f"7: ports.two: a port has exactly one attachment ({kinds}); found tap and qemu"
    assert "Traceback" not in result.stderr


def test_defaults_are_those_of_a_kernel_bridge() -> None:
    found = load("name: x\nports: {a: {tap: a0}}")
    assert (found.ageing, found.fdb.limit, found.vlan_aware, found.metrics) == (300.0, 16384, False, None)
    assert found.ports["a"].settings().vlan == PortVlan.access(1)
    assert found.ports["a"].settings().options == {"reserved": "bridge", "isolated": False}


@pytest.mark.parametrize(
    ("options", "vlan"),
    [
        ("access: 10", PortVlan.access(10)),
        ("trunk: [10, 20-22]", PortVlan(None, frozenset((10, 20, 21, 22)), frozenset())),
        ("trunk: [10, 20], native: 20", PortVlan(20, frozenset((10,)), frozenset((20,)))),
        ("trunk: 10-11, native: 1", PortVlan(1, frozenset((10, 11)), frozenset((1,)))),
    ],
)
def test_a_port_that_names_a_vlan_turns_filtering_on(options: str, vlan: PortVlan) -> None:
    found = load(f"name: x\nports: {{a: {{tap: a0, {options}}}, b: {{tap: b0}}}}")
    assert found.ports["a"].settings().vlan == vlan
    assert found.ports["b"].settings().vlan == PortVlan.access(1)
    assert found.vlan_aware
    assert not load(f"name: x\nvlan_filtering: false\nports: {{a: {{tap: a0, {options}}}}}").vlan_aware


def test_a_configuration_survives_the_way_through_the_api() -> None:
    text = """
name: lab0
ageing: 5m
vlan_filtering: true
ports:
  web: {tap: web0, netns: web, address: [10.0.0.1/24, "fd00::1/64"], mac: 52-54-00-A8-32-D7, mtu: 9000, speed: 1gbit}
  db:  {tap: vnet%d, access: 10, isolated: true, reserved: wire, offload: off}
  fd:  {fd: 27, trunk: [10, 20-29], native: 1}
fdb: {limit: 5, static: [{mac: 52:54:00:11:22:33, port: db, vlan: 10}]}
metrics: {listen: "[::1]:9475"}
control: /run/x.sock
"""
    found = load(text)
    assert config.validate(found.dump()) == found
    assert found.fdb.static[0].mac == "52:54:00:11:22:33"
    assert found.dump()["ports"]["web"]["mac"] == "52:54:00:a8:32:d7"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("{tap: a0, acess: 1}", "did you mean access?"),
        ("{fd: 3, netns: x}", "unknown key; the keys here are"),
        ("{tap: 'a/b'}", "not an interface name"),
        ("{tap: 'v%s'}", "neither an interface name nor a pattern"),
        ("{tap: a0, access: 10-20}", "is not a VLAN from 1 to 4094"),
        ("{tap: a0, trunk: [0]}", "VLAN 0 does not exist"),
        ("{tap: a0, trunk: [x]}", "'x' is not a VLAN or a range"),
        ("{tap: a0, trunk: [1, 2], native: 4095}", "VLAN 4095 does not exist"),
        ("{tap: a0, access: 1, native: 2}", "either access or trunk"),
        ("{tap: a0, mtu: 70000}", "expected at most 65521"),
        ("{tap: a0, mtu: big}", "found 'big', expected a whole number"),
        ("{tap: a0, mac: 52:54:00}", "is not a MAC address"),
        ("{tap: a0, mac: '00:00:00:00:00:00'}", "all zeros"),
        ("{tap: a0, address: 10.0.0.1/33}", "is not an address with prefix length"),
        ("{tap: a0, address: ['fd00::1/64'], mtu: 1000}", "IPv6 address needs an mtu of 1280"),
        ("{tap: a0, speed: fast}", "is not a rate"),
        ("{tap: a0, offload: maybe}", "expected true or false"),
        ("{tap: a0, isolated: 7}", "expected true or false"),
        ("{tap: a0, reserved: all}", "expected 'bridge', 'provider' or 'wire'"),
        ("{tap: a0, netns: ../x}", "is not a namespace"),
        ("{tap: a0, netns: 'pid:x'}", "is not a namespace"),
        ('{tap: a0, netns: "a\\0b"}', "is not a namespace"),
        ("{fd: -1}", "expected the number of an open descriptor or the name of one"),
        ("{fd: false}", "expected the number of an open descriptor or the name of one"),
        ("5", "found 5, expected a mapping"),
    ],
)
def test_a_mistake_of_a_port_is_one_sentence(options: str, sentence: str) -> None:
    found = port(options)
    assert len(found) == 1
    assert found[0].startswith("lab.yml:3: ports.a")
    assert sentence in found[0]


@pytest.mark.parametrize(
    ("text", "where", "sentence"),
    [
        ("", 1, "a configuration is a mapping"),
        ("- 1", 1, "a configuration is a mapping"),
        ("name: x", 1, "ports: found nothing, expected a mapping"),
        ("name: x\nports: []", 2, "ports: found a list, expected a mapping"),
        ("ports: {}", 1, "name: this key is missing"),
        ("name: a b\nports: {}", 1, "expected a name of 1 to 32 letters"),
        ("name: x\nports: {}\nageing: 5s", 3, "expected at least 10"),
        ("name: x\nports: {}\nageing: 300h", 3, "expected at most 1000000"),
        ("name: x\nports: {}\nfdb: {limit: 10000001}", 3, "expected at most 10000000"),
        ("name: x\nports: {}\nfdb: {static: [{mac: 5, port: a}]}", 3, "fdb.static.0.mac: 5 is not a MAC address"),
        ("name: x\nports: {}\nfdb:\n  static:\n  - {mac: 52:54:00:00:00:01}", 5, "static.0.port: this key is missing"),
        ("name: x\nports: {}\nageing: 300 parsecs", 3, "is not a duration"),
        ("name: x\nports: {}\nfdb: 5", 3, "found 5, expected a mapping"),
        ("name: x\nports: {}\nmetrics: {}", 3, "metrics.listen: this key is missing"),
        ("name: x\nports: {}\nmetrics: {listen: here}", 3, "is not an address to listen on"),
        (
            "name: x\nports: {}\nmetrics: {listen: ':9475'}",
            3,
            "metrics: :9475 is open to other machines: add `tls`, or",
        ),
        ("name: x\nports: {}\nmetrics: {listen: '10.0.0.1:1', insecure: false}", 3, "is open to other machines"),
        (
            "name: x\nports: {}\nmetrics: {listen: '127.0.0.1:1', tls: {certificate: /a}}",
            3,
            "metrics.tls.key: this key is",
        ),
        (
            "name: x\nports: {}\nmetrics: {listen: '127.0.0.1:1', tls: {certificate: a, key: /b}}",
            3,
            "metrics.tls.certificate: 'a' is not the absolute path of a file",
        ),
        (
            "name: x\nports: {}\nmetrics: {listen: '127.0.0.1:1', basic_auth: {bob: secret}}",
            3,
            "metrics.basic_auth.bob: this is not the hash of a password; `vswitch password` makes one",
        ),
        ("name: x\nports: {}\nmetrics: {listen: '127.0.0.1:1', basic_auth: {'a b': secret}}", 3, "a name of 1 to 64"),
        ("name: x\nports: {}\nmetrics: {listen: '127.0.0.1:1', basic_atuh: {}}", 3, "did you mean basic_auth?"),
        ("name: x\nports: {}\ncontrol: here", 3, "is not the absolute path of a socket"),
        ('name: x\nports: {}\ncontrol: "/a\\0b"', 3, "is not the absolute path of a socket"),
        (f"name: x\nports: {{}}\ncontrol: /{'é' * 60}", 3, "has 121 octets"),
        ("name: x\nports: {}\nname: y", 3, "second time; the first is on line 1"),
        ("name: x\nports: {a b: {tap: x}}", 2, "is no port name"),
        ("name: [x\nports: {}", 2, "not YAML"),
        ("name: x\n\tports: {}", 2, "not YAML"),
        ("name: !!python/object/apply:os.system ['true']\nports: {}", 1, "found a list, expected text"),
    ],
)
def test_a_mistake_of_a_file_has_its_line(text: str, where: int, sentence: str) -> None:
    found = problems(text)
    assert found[0].startswith(f"lab.yml:{where}: ")
    assert sentence in found[0]


def test_the_same_device_twice_is_found_in_spite_of_other_mistakes() -> None:
    text = (
        "name: x\nports:\n  a: {tap: t0, bad: 1}\n  b: {tap: t0}\n  c: {fd: 5}\n  d: {fd: 5}\n  e: {tap: t0, netns: n}"
    )
    assert [line for line in problems(text) if "already" in line] == [
        "lab.yml:4: ports.b.tap: t0 is the device of port a already",
        "lab.yml:6: ports.d.fd: 5 is the device of port c already",
    ]


def test_the_same_thing_written_in_two_ways_is_found() -> None:
    static = "fdb: {static: [{mac: '52:54:00:00:00:0A', port: a, vlan: '01'}, {mac: '52-54-00-00-00-0a', port: b}]}"
    text = f"name: x\nports:\n  a: {{fd: 5}}\n  b: {{fd: '05'}}\n  c: {{fd: 5.0}}\n{static}"
    assert problems(text) == [
        "lab.yml:4: ports.b.fd: 05 is the device of port a already",
        "lab.yml:5: ports.c.fd: 5.0 is the device of port a already",
        "lab.yml:6: fdb.static.1.mac: 52-54-00-00-00-0a has a static entry in VLAN 1 already",
    ]


@pytest.mark.parametrize("options", ["tap: t, mtu: true"])
def test_a_boolean_is_no_number(options: str) -> None:
    assert "expected a whole number" in problems(f"name: x\nports: {{a: {{{options}}}}}")[0]
    assert "expected a whole number" in problems("name: x\nports: {a: {tap: t}}\nfdb: {limit: yes}")[0]


def test_a_device_is_told_apart_by_its_namespace_and_a_pattern_never_is_the_same() -> None:
    ports = "a: {tap: t}, b: {tap: t, netns: None}, c: {tap: t, netns: nothing}, d: {tap: v%d}, e: {tap: v%d}"
    assert list(load(f"name: x\nports: {{{ports}}}").ports) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("key", ["boolean", "bool", "function-x", "literal[1]"])
def test_an_unknown_key_is_named_whatever_it_is_called(key: str) -> None:
    (found,) = port(f"{{tap: a0, '{key}': 1}}")
    assert found.startswith(f"lab.yml:3: ports.a.{key}: unknown key")


def test_entries_of_ports_are_not_judged_where_there_are_no_ports() -> None:
    text = "name: x\nports: [a]\nfdb: {static: [{mac: 52:54:00:00:00:01, port: a}]}"
    assert problems(text) == ["lab.yml:2: ports: found a list, expected a mapping of port names to ports"]


def test_a_mistake_is_one_short_line_whatever_it_quotes() -> None:
    for found in (
        problems('name: x\nports: {}\n"a\\n\\e[2J": 1'),
        port('{tap: "\\e[2J"}'),
        port(f"{{tap: {'x' * 10_000}, {'y' * 10_000}: 1}}"),
        port(f"{{tap: t, address: [{', '.join(['z' * 100] * 10)}]}}"),
    ):
        assert all(line.isprintable() and len(line) < 1000 for line in found)


def test_a_number_beyond_all_bounds_is_a_mistake() -> None:
    with pytest.raises(ConfigError) as error:
        config.validate({"name": "x", "ageing": 10**400, "ports": {"a": {"tap": "t", "speed": 10**400}}})
    assert [problem.key for problem in error.value.problems] == ["ageing", "ports.a.speed"]


def test_one_mac_address_twice_and_one_station_twice_are_found() -> None:
    mac = "52:54:00:00:00:01"
    text = f"name: x\nports:\n  a: {{tap: t0, mac: {mac}}}\n  b: {{tap: t1, mac: {mac}}}\n"
    assert problems(text) == [f"lab.yml:4: ports.b.mac: {mac} is the address of port a already"]
    static = f"fdb: {{static: [{{mac: {mac}, port: a}}, {{mac: {mac}, port: a}}]}}"
    assert "has a static entry in VLAN 1 already" in problems(f"name: x\nports: {{a: {{tap: t0}}}}\n{static}")[0]


def test_anchors_and_merges_work() -> None:
    found = load("name: x\nports:\n  a: &base {tap: a0, mtu: 9000}\n  b: {<<: *base, tap: b0}\n")
    assert [port.dump() for port in found.ports.values()] == [{"tap": "a0", "mtu": 9000}, {"tap": "b0", "mtu": 9000}]


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "too many values" in problems("\n".join(lines))[0]


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, sentence in (
        (tmp_path / "none.yml", "No such file"),
        (tmp_path, "Is a directory"),
        (binary, "not UTF-8"),
        (Path("/dev/zero"), "the text is longer than"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            config.read(path)


KEYS = (
    "name ports tap fd access trunk native fdb static mac port a metrics listen limit vlan address mtu netns isolated"
)
json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS.split()) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(json_data)
def test_any_data_is_a_configuration_or_a_list_of_mistakes(data: Any) -> None:
    try:
        found = config.validate(data)
    except ConfigError as error:
        found_wrong = error.problems
    else:
        found_wrong = []
        assert config.validate(found.dump()) == found
    assert all(problem.message for problem in found_wrong)


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_a_list_of_mistakes(text: str) -> None:
    with pytest.raises(ConfigError):
        load(text)


MIRRORED = "name: x\nports: {a: {tap: t, access: 10}, b: {tap: u, access: 10}, s: {tap: v}}\nmirrors:\n"


def test_a_mirror_watches_ports_vlans_or_those_ports_in_those_vlans() -> None:
    found = load(MIRRORED + "  m: {ports: a, vlans: 10-12, to: s}\n  n: {vlans: [10], direction: in, to: s}\n")
    one, two = (mirror.mirror(name) for name, mirror in found.mirrors.items())
    assert one == Mirror("m", frozenset("a"), frozenset((10, 11, 12)), True, True, "s")
    assert two == Mirror("n", None, frozenset((10,)), True, False, "s")
    assert config.validate(found.dump()) == found
    assert found.dump()["mirrors"]["m"] == {"ports": ["a"], "vlans": ["10-12"], "direction": "both", "to": "s"}


@pytest.mark.parametrize(
    ("mirrors", "mistake"),
    [
        ("  m: {to: s}", "mirrors.m: a mirror watches `ports`, `vlans`, or both"),
        ("  m: {ports: [], to: s}", "mirrors.m: a mirror watches `ports`, `vlans`, or both"),
        ("  m: {ports: [a]}", "mirrors.m.to: this key is missing"),
        ("  m: {ports: [a], to: t}", "mirrors.m.to: there is no port t"),
        ("  m: {ports: [a, c], to: s}", "mirrors.m.ports.1: there is no port c"),
        ("  m: {ports: [a, s], to: s}", "mirrors.m.ports.1: port s is where mirror m sends to: watch another one"),
        ("  m: {ports: [a], to: s}\n  n: {ports: s, to: b}", "mirrors.n.ports: port s is where mirror m sends to"),
        ("  m: {ports: [a], direction: up, to: s}", "mirrors.m.direction: found 'up', expected 'in', 'out' or 'both'"),
        ("  m: {ports: [a], form: s, to: s}", "mirrors.m.form: unknown key; the keys here are ports, vlans"),
        ("  m: [a, s]", "mirrors.m: found a list, expected a mapping"),
        ("  -m: {ports: [a], to: s}", "mirrors.-m: '-m' is no port name: 1 to 32 letters"),
    ],
)  # fmt: skip
def test_mistakes_in_mirrors(mirrors: str, mistake: str) -> None:
    (found,) = problems(MIRRORED + mirrors + "\n")
    assert found.split(" ", 1)[1].startswith(mistake)


def test_a_mirror_of_vlans_wants_vlans() -> None:
    for head, ports in (("vlan_filtering: off", "access: 10"), ("ageing: 300", "mtu: 1400")):
        text = (
            f"name: x\n{head}\nports: {{a: {{tap: t, {ports}}}, s: {{tap: u}}}}\nmirrors: {{m: {{vlans: 10, to: s}}}}\n"
        )
        assert "VLAN filtering is off here" in problems(text)[0]


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ("{erspan: 10.0.0.300}", "is not the IP address of a host such as 10.0.0.9 or fd00::9"),
        ("{erspan: 10.0.0.9, session: 1024}", "found 1024, expected at most 1023"),
        ("{erspan: 10.0.0.9, version: 1}", "found 1, expected 2 or 3"),
        ("{vxlan: 10.0.0.9}", "this key is missing"),
        ("{vxlan: 10.0.0.9, vni: 16777216}", "expected at most 16777215"),
        ("{vxlan: ff02::1, vni: 1}", "is not the IP address of a host"),
        ("{vxlan: 'fe80::1%eth0', vni: 1}", "is not the IP address of a host"),
        ("{vxlan: 10.0.0.9, vni: 1, local: '::1'}", "have to be of one kind, IPv4 or IPv6"),
    ],
)
def test_mistakes_in_tunnels(options: str, mistake: str) -> None:
    (found,) = port(options)
    assert mistake in found


def test_tunnels_that_would_be_in_each_other_s_way() -> None:
    assert (
        len(load("name: x\nports: {a: {erspan: 10.0.0.9, session: 1}, b: {erspan: 10.0.0.9, session: 2}}").ports) == 2
    )
    assert (
        len(load("name: x\nports: {a: {vxlan: 10.0.0.9, vni: 1}, b: {vxlan: 10.0.0.9, vni: 1, udp_port: 1}}").ports)
        == 2
    )
    for one, other in (
        ("erspan: 10.0.0.9", "erspan: 10.0.0.9, version: 3"),
        ("vxlan: 10.0.0.9, vni: 1", "vxlan: 10.0.0.8, vni: 2"),
    ):
        (found,) = problems(f"name: x\nports: {{a: {{{one}}}, b: {{{other}}}}}")
        assert "is the device of port a already" in found


@pytest.mark.parametrize(
    "options",
    ["listen: 127.0.0.1:1", "listen: 127.1.2.3:1", "listen: '[::1]:1'", "listen: ':1', insecure: true",
     "listen: 0.0.0.0:1, tls: {certificate: /a, key: /b}"],
)  # fmt: skip
def test_metrics_for_this_machine_or_kept_from_others_are_right(options: str) -> None:
    found = config.load(f"name: x\nports: {{}}\nmetrics: {{{options}}}")
    assert found.metrics is not None
    assert config.validate(found.dump()).metrics == found.metrics
