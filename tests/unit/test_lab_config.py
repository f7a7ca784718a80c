"""Topologies: what a file says, in one part or in several, and what is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from vswitch.control.config import reading as config
from vswitch.control.config import yaml
from vswitch.control.config.reading import ConfigError
from vswitch.control.topology import builder, parts
from vswitch.control.topology import reading as lab
from vswitch.control.topology.difference import compare_labs, without
from vswitch.control.topology.models import lab_schema

if TYPE_CHECKING:
    from pathlib import Path

TWO = """\
name: t
switches: {s1: , s2: {ageing: 60s}}
guests:
  a: {switch: s1, address: 10.0.0.1/24}
  b: {switch: s2, address: [10.0.0.2/24, "fd00::2/64"], access: 10}
links: [[s1, s2]]
"""


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        lab.load(text, "f")
    return [problem.text() for problem in caught.value.problems]


def test_two_switches_and_two_guests() -> None:
    config = lab.load(TWO)
    assert list(config.switches["s1"].ports) == ["a", "s2"]
    tap = config.switches["s2"].dump()["ports"]["b"]
    assert (tap["tap"], tap["netns"], tap["access"]) == ("eth0", "t-b", 10)
    ends = [config.switches[one].dump()["ports"][other]["patch"] for one, other in (("s1", "s2"), ("s2", "s1"))]
    assert ends[0] == ends[1]
    assert config.switches["s1"].name == "t-s1"
    assert config.switches["s2"].ageing == 60
    assert config.guests["b"].addresses() == ["10.0.0.2", "fd00::2"]


def test_what_was_read_can_be_sent_and_read_again() -> None:
    config = lab.load(TWO.replace("links", "loops: on\nlinks"))
    again = lab.validate(json.loads(json.dumps(config.data)))
    assert (again.switches, again.guests, again.links) == (config.switches, config.guests, config.links)


def test_count_ranges_and_pools() -> None:
    config = lab.load(
        "name: t\nswitches: {core: , s: {count: 3}}\n"
        'guests:\n  "h{n}": {count: 7, switch: "s[1-3]", pool: [10.1.0.0/29, "fd01::/64"]}\n'
        '  x[08-09]: {switch: s1, address: "10.2.0.{n}/24"}\n'
        'links: [[core, "s[1-3]"]]\n'.replace("0.{n}", "0.1{n}")
        .replace("10.1.0.0/29", "10.1.0.0/28")
    )  # fmt: skip
    assert [config.guests[f"h{n}"].plugs[0].switch for n in range(1, 8)] == ["s1", "s2", "s3", "s1", "s2", "s3", "s1"]
    assert config.guests["h7"].addresses() == ["10.1.0.7", "fd01::7"]
    assert config.guests["x08"].addresses() == ["10.2.0.108"]
    assert list(config.switches["core"].ports) == ["s1", "s2", "s3"]


def test_a_pool_leaves_out_what_somebody_has_and_says_when_it_is_used_up() -> None:
    text = "name: t\nswitches: {s: }\nguests:\n  fixed: {switch: s, address: 10.0.0.2/30}\n"
    config = lab.load(text + "  a: {switch: s, pool: 10.0.0.0/30}\n")
    assert config.guests["a"].addresses() == ["10.0.0.1"]
    assert mistakes(text + "  a: {count: 20, switch: s, pool: 10.0.0.0/30}\n") == [
        "f:5: guests.a2.pool: the addresses of 10.0.0.0/30 are used up"
    ]


def test_a_hundred_guests_on_ten_switches_are_less_than_twenty_lines() -> None:
    text = (
        'name: t\nswitches:\n  core: {}\n  s: {count: 10}\nguests:\n  h: {count: 100, switch: "s[1-10]", '
        'pool: 10.0.0.0/16}\nlinks:\n  - [core, "s[1-10]"]\n'
    )
    config = lab.load(text)
    assert (len(config.switches), len(config.guests), len(config.links)) == (11, 100, 110)
    assert text.count("\n") < 20


def test_ends_with_options_interfaces_and_names() -> None:
    config = lab.load(
        "name: t\nswitches: {s: , o: }\nguests: {r: }\nlinks:\n"
        "  - [r:wan, {node: s, access: 10}]\n"
        "  - [{node: r, address: 10.0.0.1/24, mtu: 9000, isolated: true}, s]\n"
        "  - [{node: s, trunk: [10, 20]}, {node: o, mtu: 1500}]\n"
    )
    ports = config.switches["s"].dump()["ports"]
    assert (ports["r"]["tap"], ports["r"]["access"]) == ("wan", 10)
    assert (ports["r:eth0"]["tap"], ports["r:eth0"]["mtu"], ports["r:eth0"]["isolated"]) == ("eth0", 9000, True)
    assert ports["o"]["trunk"] == [10, 20]
    assert config.switches["o"].dump()["ports"]["s"]["mtu"] == 1500
    assert len({plug.mac for plug in config.guests["r"].plugs}) == 2


def test_two_guests_are_joined_by_a_switch_that_passes_everything() -> None:
    config = lab.load("name: t\nguests: {a: , b: }\nlinks: [[a, b], [a, b]]\n")
    assert config.wires == {"a--b", "a--b-2"}
    wire = config.switches["a--b"].dump()["ports"]
    assert {port["reserved"] for port in wire.values()} == {"wire"}
    assert [plug.interface for plug in config.guests["a"].plugs] == ["eth0", "eth1"]


def test_two_interfaces_whose_own_addresses_come_out_alike_have_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "guest_mac", lambda _, place: f"52:54:00:00:00:{len(place):02x}")
    config = lab.load("name: t\nswitches: {s: }\nguests: {a: {switch: s}, b: {switch: s}, c: {switch: s}}\n")
    assert len({plug.mac for guest in config.guests.values() for plug in guest.plugs}) == 3


def test_a_machine_meets_its_switch_at_a_socket() -> None:
    config = lab.load("name: t\nswitches: {s: }\nguests: {vm: {switch: s, qemu: {kernel: /k}}}\n")
    assert config.switches["s"].dump()["ports"]["vm"]["qemu"].endswith("/labs/t/vm-eth0.sock")


def test_a_loop_is_refused_and_named_unless_told_otherwise() -> None:
    text = "name: t\nswitches: {a: , b: , c: }\nlinks: [[a, b], [b, c], [c, a]]\n"
    assert mistakes(text) == [
        "f:3: links.2: the link of c and a closes a loop (c, b, a, c), in which frames would go round without end: "
        "leave it out, or say `loops: true` if something else breaks the loop"
    ]
    assert len(lab.load(f"{text}loops: true\n").links) == 3
    assert "closes a loop (a, b, a)" in mistakes("name: t\nswitches: {a: , b: }\nlinks: [[a, b], [a, b]]\n")[0]


@pytest.mark.parametrize(
    ("guests", "expected"),
    [
        ("{a: {switch: s, address: 10.0.0.1/24}, b: {switch: s, address: 10.0.0.1/16}}",
         "guests.b.address: 10.0.0.1/16 of b is an address of a already"),
        ("{a: {swich: s}}", "guests.a.swich: unknown key; did you mean switch?"),
        ("{a: {switch: s, acess: 3}}", "guests.a.acess: unknown key; did you mean access?"),
        ("{a: {switch: s, pool: false}}", "guests.a.pool"),
        ("{a: {switch: s, address: true}}", "guests.a.address"),
        ("{a: {switch: t}}", "guests.a.switch: there is no switch 't'; did you mean"),
        ("{a: {address: 10.0.0.1/24}}", "guests.a.address: a guest without `switch:` has that at the end of a link"),
        ("{s: }", "guests.s: s is a switch already; a guest has another name"),
        ("{-a: }", "guests.-a: '-a' is no name"),
        ("{a: 5}", "guests.a: found 5, expected a mapping"),
        ("[a]", "guests: found a list, expected a mapping of names to guests"),
        ("{a: {switch: s, routes: {defalt: 10.0.0.1}}}", "'defalt' is not `default` or a network"),
        ("{a: {switch: s, routes: {default: 10.0.0.256}}}", "is neither the address of a router nor an interface"),
        ("{a: {switch: s, sysctls: {kernel.hostname: x}}}", "is not a setting of a network such as"),
        ("{a: {switch: s, sysctls: {net.ipv4./../x: x}}}", "is not a setting of a network such as"),
        ("{a: {switch: s, run: ''}}", "'' is not a command such as"),
        ("{a: {count: 0, switch: s}}", "guests.a.count: found 0, expected a whole number from 1 to 4096"),
        ("{a: {count: 9999999, switch: s}}", "expected a whole number from 1 to 4096"),
        ("{a: {netns: x}, b: {netns: x}}", "guests.b.netns: x is the home of a"),
        ("{a: {netns: /proc/1/ns/net}}", "a guest's namespace goes by a name of `ip netns`"),
        ("{a: {switch: s, pool: 10.0.0.1/24}}", "'10.0.0.1/24' is not a network such as 10.0.0.0/16"),
        ("{a: {switch: s, qemu: {kernel: k}, address: 10.0.0.1/24}}", "sets its interfaces up itself"),
        ("{a: {switch: s, qemu: {}, run: x}}", "what a virtual machine does inside is its own affair"),
        ("{a: {switch: s, impair: {sead: 7}}}", "impair"),
    ],
)  # fmt: skip
def test_mistakes_of_guests(guests: str, expected: str) -> None:
    found = mistakes(f"name: x\nswitches: {{s: }}\nguests: {guests}\n")
    assert any(expected in line for line in found) or expected.endswith("did you mean"), found
    assert all(line.startswith("f:3: ") for line in found)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[a]", "links.0: a link has two ends"),
        ("5", "links.0: a link has two ends"),
        ("[a, a]", "both ends are a: a link joins two"),
        ("[a, zz]", "there is no switch or guest 'zz'"),
        ("[s:eth0, a]", "s is a switch: only a guest's end names an interface"),
        ("[a:this-name-is-too-long, s]", "an interface name has 15 at most"),
        ("[{node: s, address: 10.0.0.1/24}, a]", "address belongs to a guest's end; s is a switch"),
        ("[{node: s, access: 3}, {node: a, access: 4}]", "the guest's end says that too"),
        ("[{node: s, acces: 3}, a]", "unknown key; did you mean access?"),
        ("{ends: [s, a], impare: {}}", "unknown key 'impare'; did you mean impair?"),
        ("{ends: [s, a], x: {}}", "unknown key 'x'; a link has ends, count, and options of the end named first"),
        ("{ends: [{node: s, access: 3}, a], access: 4}", "access stands at its first end too: leave one of them out"),
        ("{ends: [s, a], count: many}", "count: found 'many', expected a whole number"),
        ('["s[1-2]", "a[1-3]"]', "the ranges of both ends have 2 and 3 members"),
    ],
)
def test_mistakes_of_links(link: str, expected: str) -> None:
    found = mistakes(f"name: x\nswitches: {{s: }}\nguests: {{a: }}\nlinks:\n  - {link}\n")
    assert any(expected in line for line in found), found
    assert all(line.startswith("f:5: ") for line in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "f:1: a topology is a mapping with at least"),
        ("", "f:1: a topology is a mapping with at least"),
        ("name: x\nswitches: {s: {name: y}}\n", "a lab gives its switches names and sockets"),
        ("name: x\nswitches: {s: {agein: 3}}\n", "f:2: switches.s.agein: unknown key; did you mean ageing?"),
        ("name: x\nswitches: {s: {ports: {p: {tapp: x}}}}\n", "f:2: switches.s.ports.p"),
        ("name: x\nswitches: {s: {ageing: 1}}\n", "f:2: switches.s.ageing: found 1.0, expected at least 10"),
        ("name: x\nswitches: {s: {mirrors: {m: {ports: [a], to: b}}}}\n", "there is no port"),
        ("name: x\nswitch: {}\n", "f:2: switch: unknown key; did you mean switches?"),
        ("name: x\nswitches: {a: , a: }\n", "this key stands here for the second time"),
        (f"name: {'x' * 30}\nswitches: {{abc: }}\n", "and a name has 32 characters at most"),
        ("name: ../x\n", "expected a name of 1 to 32 letters"),
        (
            f"name: x\nguests: {{a: {{count: 4000, run: [{', '.join(['x'] * 1000)}]}}}}\n",
            "4000 copies of this are more than",
        ),
        ("name: x\nlinks: 5\n", "found 5, expected a list of links"),
    ],
)
def test_mistakes_of_the_whole(text: str, expected: str) -> None:
    found = mistakes(text)
    assert any(expected in line for line in found), found


def test_a_switch_given_to_a_lab_is_one_sentence() -> None:
    assert mistakes("name: x\nageing: 60s\nports: {a: {tap: a0}}\n") == [
        "f:3: ports: this is one switch, not a topology: use `vswitch check`, `run` and so on"
    ]
    assert "ports: unknown key" in mistakes("name: x\nswitches: {}\nports: {}\n")[0]


def test_a_topology_given_to_a_switch_is_one_sentence() -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(TWO, "f")
    assert [problem.text() for problem in caught.value.problems] == [
        "f:1: this is a topology of several switches, not a switch: use `vswitch lab check`, `lab up` and so on"
    ]


def test_the_same_address_in_two_networks_is_no_mistake() -> None:
    config = lab.load(
        "name: t\nswitches: {s: , o: }\nguests:\n  a: {switch: s, address: 10.0.0.1/24}\n"
        "  b: {switch: o, address: 10.0.0.1/24}\n  c: {switch: s, address: 10.0.0.1/24, access: 10}\n"
    )
    assert [config.guests[name].plugs[0].addresses for name in "abc"] == [("10.0.0.1/24",)] * 3


def test_parts_of_several_files_know_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    main, part, more = tmp_path / "lab.yml", tmp_path / "parts" / "servers.yml", tmp_path / "parts" / "more.yml"
    main.write_text("name: t\ninclude: [parts/servers.yml]\nswitches: {s: }\nguests: {a: {switch: s}}\n")
    part.write_text("include: more.yml\nguests:\n  web: {switch: s, qemu: {image: disk.img}}\nlinks: [[s, s2]]\n")
    more.write_text("switches: {s2: }\n")
    config = lab.read(main)
    assert set(config.switches) == {"s", "s2"}
    machine = config.guests["web"].options.qemu
    assert machine is not None
    assert machine.image == str(tmp_path / "parts" / "disk.img")
    part.write_text("guests:\n  a: {switch: s}\n  web: {swich: s}\nmetrics: {}\ninclude: [../lab.yml, gone.yml]\n")
    with pytest.raises(ConfigError) as caught:
        lab.read(main)
    found = [problem.text() for problem in caught.value.problems]
    assert f"{part}:2: guests.a: it stands in the file that includes this one:4 already" in found
    assert f"{part}:3: guests.web.swich: unknown key; did you mean switch?" in found
    assert f"{part}:4: metrics: an included file has switches, guests and links alone" in found
    assert f"{part}:5: include.0: ../lab.yml is included already" in found
    assert any(line.startswith(f"{part}:5: include.1: cannot read") for line in found)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("include: loop/x.yml", "include"),
        ('include: "\\ud800"', "include"),
        ('include: "a\\0"', "include"),
        ('guests: {g: {qemu: {image: "\\ud800"}}}', r"guests\.g\.qemu\.image"),
        ('guests: {g: {qemu: {image: "a\\0"}}}', r"guests\.g\.qemu"),
        ('guests: {g: {qemu: {arguments: ["-m", "\\0"]}}}', r"guests\.g\.qemu"),
        ("guests: {g: {qemu: {image: loop/x.img}, swich: s}}", r"guests\.g\.swich"),
    ],
)
def test_a_path_that_leads_nowhere_is_a_mistake(tmp_path: Path, words: str, key: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "lab.yml").write_text(f"name: t\nswitches: {{s: }}\n{words}\n")
    with pytest.raises(ConfigError, match=rf"lab\.yml:3: {key}: "):
        lab.read(tmp_path / "lab.yml")


@pytest.mark.parametrize(
    ("begin", "line"),
    [
        ("name: t\nswitches: {s: }\nguests:\n", "  h{}: {{count: 1, switch: s}}\n"),
        ("name: t\nswitches: {s: }\nguests:\n", "  h{}: {{switch: 's[1-2]'}}\n"),
        ("name: t\nswitches: {s: , t: }\nlinks:\n", "- [s, t]\n"),
        ("name: t\nswitches:\n  s[1-2]: \n", "  h{}: {{ageing: 100}}\n"),
    ],
)
def test_twice_as_much_takes_no_more_than_twice_as_long(begin: str, line: str) -> None:
    """Told by looks at the places where everything stands, since no clock is to be asked."""

    class Place(tuple[Any, ...]):
        looks = 0

        def __getitem__(self, at: Any) -> Any:
            Place.looks += 1
            return super().__getitem__(at)

    def looks(many: int) -> int:
        document = yaml.load(begin + "".join(line.format(number) for number in range(many)))
        Place.looks = 0
        parts.expand(document._replace(marks={Place(path): mark for path, mark in document.marks.items()}))
        return Place.looks

    assert looks(200) <= 2.5 * looks(100)


def test_too_many_links_are_a_mistake_however_they_are_said() -> None:
    most = "name: t\nloops: true\nswitches: {s: , t: }\nlinks:\n" + "- [s, t]\n" * parts.MOST_LINKS
    assert len(parts.expand(yaml.load(most)).data["links"]) == parts.MOST_LINKS
    assert mistakes(f"{most}- [s, t]\n- [t, s]\n") == ["f:4101: links.4096: a lab has 4096 links at most"]


def test_anchors_and_keys_for_them() -> None:
    config = lab.load(
        "name: t\nx-host: &host {sysctls: {net.ipv4.ip_forward: true}}\nswitches: {s: }\n"
        "guests: {a: {<<: *host, switch: s}}\n"
    )
    assert config.guests["a"].options.sysctls == {"net.ipv4.ip_forward": "1"}


def test_the_difference_names_what_changes_and_nothing_else() -> None:
    old = lab.load(TWO)
    text = (
        TWO.replace("10.0.0.1/24}", "10.0.0.1/24, routes: {default: 10.0.0.9}}")
        .replace("  b: {switch: s2", "  c: {switch: s2")
        .replace("s2: {ageing: 60s}", "s2: {ageing: 90s}, s3: ")
    )
    difference = compare_labs(old, lab.load(text), old.switches)
    assert (difference.added, difference.removed, difference.changed) == (["c"], ["b"], ["a"])
    assert difference.switches_added == ["s3"]
    assert list(difference.switches) == ["s2"]
    assert difference.lines == [
        "- guest b",
        "+ guest c (eth0 at s2, 10.0.0.2/24, fd00::2/64)",
        "~ guest a: routes none → default 10.0.0.9",
        "+ switch s3 (without ports)",
        *(line for line in difference.lines if "s2: " in line),
    ]
    assert "~ s2: ageing 60 → 90" in difference.lines
    assert not compare_labs(old, lab.load(TWO), old.switches).lines


def test_a_switch_without_some_ports_lacks_what_names_them() -> None:
    config = lab.load(
        "name: t\nswitches:\n  s:\n    ports: {m: {tap: m0}}\n    mirrors: {x: {ports: a, to: m}}\n"
        '    fdb: {static: [{mac: "52:54:00:00:00:01", port: a}, {mac: "52:54:00:00:00:02", port: b}]}\n'
        "guests: {a: {switch: s}, b: {switch: s, access: 5}}\n"
    ).switches["s"]
    left = without(config, {"a"})
    assert set(left.ports) == {"m", "b"}
    assert [entry.port for entry in left.fdb.static] == ["b"]
    assert not left.mirrors
    assert without(config, {"b"}).vlan_aware


def test_what_stands_beside_a_guest_without_switch_is_that_of_its_first_link() -> None:
    text = """\
name: t
switches: {s: , t: }
guests:
  a: {address: 10.0.0.1/24, impair: {out: {delay: 1ms}}}
  b: {address: 10.0.0.2/24, access: 5}
links: [[s, a], [a, t], ["b:wan", {node: t, isolated: true}]]
"""
    found = lab.load(text)
    assert [plug.addresses for plug in found.guests["a"].plugs] == [("10.0.0.1/24",), ()]
    assert found.switches["s"].ports["a"].impair is not None
    assert found.switches["t"].ports["a"].impair is None
    assert found.switches["t"].ports["b"].dump() | {"mac": ""} == {
        "tap": "wan", "netns": "t-b", "address": ["10.0.0.2/24"], "access": 5, "isolated": True, "mac": "",
    }  # fmt: skip
    clash = text.replace("[s, a]", "[s, {node: a, address: 10.9.9.9/24}]")
    assert mistakes(clash) == ["f:6: links.0.ends.1.address: that stands beside a too: leave one of them out"]


def test_options_of_a_link_are_those_of_the_end_named_first() -> None:
    text = "name: t\nswitches: {s: , t: }\nlinks: [{ends: [s, t], impair: {out: {delay: 1ms}, in: {loss: 1%}}}]\n"
    switches = lab.load(text).switches
    assert switches["s"].ports["t"].impair is not None
    assert switches["t"].ports["s"].impair is None
    ports = lab_schema()["properties"]["links"]["items"]["anyOf"][1]["properties"]
    assert {"ends", "count", "impair", "access"} <= set(ports)


def test_one_mistake_is_told_once() -> None:
    text = "name: t\nswitches: {s: }\nguests:\n  a: {switch: s, address: 10.0.0.1, mac: zz}\nlinks: [[s, {nod: a}]]\n"
    assert [line.split(": ")[:2] for line in mistakes(text)] == [
        ["f:4", "guests.a.address"],
        ["f:4", "guests.a.mac"],
        ["f:5", "links.0.ends.1.node"],
        ["f:5", "links.0.ends.1.nod"],
    ]


def test_the_schema_describes_what_is_read() -> None:
    schema = lab_schema()
    text = json.dumps(schema)
    for key in ("switches", "guests", "links", "include", "loops"):
        assert key in schema["properties"]
    references = {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert references <= set(schema["$defs"])
    assert "impair" not in schema["properties"]
