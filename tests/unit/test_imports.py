"""What topologies of containerlab and Mininet become, and what is said of the rest."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.running import vswitch
from vswitch.control.topology import reading as lab
from vswitch.lab import imports
from vswitch.lab.imports import ForeignError
from vswitch.lab.imports.standin import LinearTopo, SingleSwitchTopo, TreeTopo

FOREIGN = Path(__file__).parents[1] / "data/foreign"


def drafted(name: str, which: str | None = None) -> imports.Draft:
    """The import of a file; what it makes is a topology, and its text says the same."""
    draft = imports.read(FOREIGN / name, "mininet" if name.endswith(".py.txt") else None, which)
    assert lab.load(draft.text()).data == lab.validate(draft.data()).data
    return draft


def test_what_containerlab_has_and_we_have() -> None:
    draft = drafted("campus.clab.yml")
    assert draft.name == "campus"
    assert draft.switches == {
        "br": {},
        "vx1": {"ports": {"far": {"vxlan": "10.0.0.20", "vni": 100, "udp_port": 14788}}},
    }
    assert draft.guests == {
        "srl": {"environment": {"LANG": "C"}},
        "client1": {
            "environment": {"LANG": "C", "A": "1"},
            "routes": {"default": "192.168.1.254"},
            "sysctls": {"net.ipv4.ip_forward": "1"},
            "setup": ["echo hello"],
        },
        "client2": {"environment": {"LANG": "C"}},
    }
    assert draft.links == [
        [
            {"node": "srl", "interface": "e1-1"},
            {"node": "client1", "interface": "eth1", "address": ["192.168.1.1/24", "fd00::1/64"]},
        ],
        [{"node": "client2", "interface": "eth1", "mtu": 1400, "address": ["192.168.1.2/24"]}, "br"],
        ["srl", "br"],
        [
            {"node": "client1", "interface": "eth2", "mac": "02:00:00:00:00:01"},
            {"node": "client2", "interface": "eth2"},
        ],
        [{"node": "client2", "interface": "eth5"}, "vx1"],
    ]


@pytest.mark.parametrize(
    "words",
    ["prefix", "not a nokia_srlinux", "startup-config", "license", "image alpine:3", "binds", "9500", "ethernet-1/3",
     "srl:e1-9", "host:veth9"],
)  # fmt: skip
def test_and_what_has_no_counterpart_is_said_once(words: str) -> None:
    said = [sentence for sentence in drafted("campus.clab.yml").remarks if words in sentence]
    assert said
    assert len(said) == len(set(said))


CABLES = """\
name: cables
topology:
  nodes: {br: {kind: bridge}, a: {exec: [ip addr add 10.5.0.1/24 dev eth1, ip addr add 10.6.0.1/24 dev eth8, id]},
          b: {exec: ip addr add 10.5.0.2/24 dev eth1}}
  links:
    - {endpoints: ["a:eth1", "br:x"]}
    - {endpoints: ["b:eth1", "a:eth2"], ipv4: [10.7.0.1/24, 10.7.0.2/24], ipv6: ["fd07::1/64"], vars: {x: 1}}
    - {endpoints: ["a:eth8", "host:veth8"]}
    - {endpoints: ["a:eth1"]}
"""


def test_addresses_of_links_that_leave_the_lab_are_not_lost_in_silence(tmp_path: Path) -> None:
    (tmp_path / "cables.clab.yml").write_text(CABLES)
    draft = imports.read(tmp_path / "cables.clab.yml")
    lab.load(draft.text())
    assert draft.links == [
        [{"node": "a", "interface": "eth1", "address": ["10.5.0.1/24"]}, "br"],
        [
            {"node": "b", "interface": "eth1", "address": ["10.7.0.1/24", "fd07::1/64", "10.5.0.2/24"]},
            {"node": "a", "interface": "eth2", "address": ["10.7.0.2/24"]},
        ],
    ]
    assert draft.guests["a"] == {"setup": ["id"]}
    assert "a: `ip addr add 10.6.0.1/24 dev eth8` is left out: there is no eth8 here" in draft.remarks
    assert "the link b:eth1 to a:eth2: `vars` has no counterpart" in draft.remarks


def test_a_topology_of_mininet_s_with_its_parameters() -> None:
    draft = drafted("tree.py.txt", "slow")
    slow = {"delay": "5ms", "loss": "2%", "rate": "10mbit", "queue": "152kB"}
    assert draft.name == "slow"
    assert (set(draft.switches), set(draft.guests)) == ({"s1", "s2"}, {"h1", "h2", "h9"})
    assert draft.links[0] == [
        {"node": "h1", "address": "10.87.0.1/24", "mac": "00:00:00:00:00:01", "impair": {"in": slow, "out": slow}}, "s1"
    ]  # fmt: skip
    assert draft.links[2] == [
        {"node": "s1", "impair": {"out": {"delay": "1ms"}}}, {"node": "s2", "impair": {"out": {"delay": "1ms"}}}
    ]  # fmt: skip
    assert draft.guests["h9"] == {"routes": {"default": "10.87.0.1"}}
    assert any("`cpu`" in sentence for sentence in draft.remarks)
    assert not any("protocols" in sentence or "use_htb" in sentence for sentence in draft.remarks)


def test_what_an_end_of_a_link_says_is_that_end_s() -> None:
    draft = drafted("router.py.txt")
    r1, h1 = draft.links[:2]
    assert r1 == ["s1", {"node": "r0", "address": "192.168.1.1/24", "interface": "r0-eth1"}]
    assert draft.links[2] == ["s2", {"node": "r0", "address": "172.16.0.1/12", "interface": "r0-eth2"}]
    assert h1 == [
        {"node": "h1", "address": "192.168.1.100/24", "mac": "00:00:00:00:00:01",
         "impair": {"in": {"delay": "5ms", "rate": "10mbit"}, "out": {"rate": "10mbit"}}},
        "s1",
    ]  # fmt: skip
    assert "r0: what its class LinuxRouter does to it is not done" in draft.remarks
    assert "NAT has no counterpart: there is no way out of the network" in draft.remarks


def test_one_of_several_and_a_program() -> None:
    tree = drafted("tree.py.txt", "tree")
    assert (len(tree.switches), len(tree.guests), len(tree.links)) == (3, 4, 6)
    script = drafted("script.py.txt")
    assert script.links == [
        [{"node": "h1", "address": "10.88.0.1/24"}, "s1"], ["s1", {"node": "h2", "address": "10.88.0.7/24"}]
    ]  # fmt: skip
    assert script.remarks == ["no controllers: every switch learns by itself, as Mininet's with its default controller"]


def test_a_topology_of_miniedit_s() -> None:
    draft = drafted("edited.mn")
    assert (set(draft.switches), set(draft.guests)) == ({"s1"}, {"h1", "h2", "r2"})
    assert draft.guests["r2"] == {"sysctls": {"net.ipv4.ip_forward": 1}}
    both = {"delay": "3ms", "rate": "5mbit"}
    assert draft.links[0] == [{"node": "h1", "address": "10.89.0.1/24", "impair": {"in": both, "out": both}}, "s1"]
    assert any("startCommand" in sentence for sentence in draft.remarks)


def test_the_stand_ins_build_what_mininet_does() -> None:
    assert [one for one, _, _ in LinearTopo(3).links_] == ["h1", "h2", "s2", "h3", "s3"]
    assert [str(name) for name in LinearTopo(2, n=2).hosts()] == ["h1s1", "h1s2", "h2s1", "h2s2"]
    assert len(SingleSwitchTopo(5).links_) == 5
    assert [(one, other) for one, other, _ in TreeTopo(2, 2).links_] == [
        ("s2", "h1"), ("s2", "h2"), ("s1", "s2"), ("s3", "h3"), ("s3", "h4"), ("s1", "s3")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("x.yml", "a: [", "x.yml:"),
        ("x.yml", "a: 1", "no topology of containerlab"),
        ("x.mn", "[]", "no topology of MiniEdit"),
        ("x.mn", "{", "no topology of MiniEdit"),
        ("x.py", "1 / 0", "division by zero"),
        ("x.py", "pass", "makes no network"),
        ("x.py", "import no_such_module_here", "no_such_module_here"),
        ("x.py", "topos = {'a': 1, 'b': 2}", "say which with --topology"),
    ],
)
def test_what_is_no_topology_is_one_sentence(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ForeignError, match=sentence):
        imports.read(tmp_path / name)
    done = vswitch("lab", "import", str(tmp_path / name))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert sentence in done.stderr


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for name in ("x.yml", "x.py", "x.mn"):
        with pytest.raises(ForeignError):
            imports.read(tmp_path / name)
    with pytest.raises(ForeignError, match="formats are containerlab, mininet, miniedit"):
        imports.read(tmp_path / "x", "gns3")


def test_the_command_writes_a_file_that_is_right_and_remarks_for_people(tmp_path: Path) -> None:
    out = tmp_path / "campus.yml"
    done = vswitch("lab", "import", str(FOREIGN / "campus.clab.yml"), "-o", str(out))
    assert (done.returncode, done.stdout) == (0, "")
    assert "srl: `license` has no counterpart" in done.stderr.splitlines()
    assert "# - srl: `license` has no counterpart" in out.read_text().splitlines()
    assert "right" in vswitch("lab", "check", str(out)).stdout
    answer = json.loads(
        vswitch("lab", "import", str(FOREIGN / "script.py.txt"), "--format", "mininet", "--json").stdout
    )
    assert set(answer) == {"topology", "remarks"}


def test_what_cannot_be_brought_up_is_said(tmp_path: Path) -> None:
    loop = {
        "name": "loop",
        "topology": {"nodes": {"b1": {"kind": "bridge"}, "b2": {"kind": "bridge"}},
                     "links": [{"endpoints": ["b1:x1", "b2:x1"]}, {"endpoints": ["b1:x2", "b2:x2"]}]},
    }  # fmt: skip
    (tmp_path / "loop.yml").write_text(json.dumps(loop))
    answer = json.loads(vswitch("lab", "import", str(tmp_path / "loop.yml"), "--json").stdout)
    assert any(sentence.startswith("to be put right") and "loop" in sentence for sentence in answer["remarks"])


def test_what_a_file_says_is_a_comment_of_one_line(tmp_path: Path) -> None:
    """Whatever its words are: the next line would be the topology's, and a command in it root's."""
    word = "x\nguests: {h1: {run: evil}}\r\x85\u2028\ud800\x1b[2J"
    host, switch = {"opts": {"hostname": "h1"}}, {"opts": {"hostname": "s1"}}
    link = {"src": "h1", "dest": "s1", "opts": {word: 1, "delay": word}}
    (tmp_path / "a.mn").write_text(json.dumps({"hosts": [host], "switches": [switch], "links": [link]}))
    draft = imports.read(tmp_path / "a.mn")
    assert all(sentence.isprintable() for sentence in draft.remarks)
    assert lab.load(draft.text()).data == lab.validate(draft.data()).data
    (tmp_path / "a.clab.yml").write_text(json.dumps({"topology": {"nodes": {word: {word: word}}}}))
    assert all(sentence.isprintable() for sentence in imports.read(tmp_path / "a.clab.yml").remarks)


@pytest.mark.parametrize("options", [{"loss": 10**400}, {"bw": 1, "max_queue_size": float("inf")}])
def test_numbers_that_are_none_are_no_topology(tmp_path: Path, options: dict[str, Any]) -> None:
    host, switch = {"opts": {"hostname": "h1"}}, {"opts": {"hostname": "s1"}}
    links = [{"src": "h1", "dest": "s1", "opts": options}]
    (tmp_path / "a.mn").write_text(json.dumps({"hosts": [host], "switches": [switch], "links": links}))
    with pytest.raises(ForeignError, match=r"is no topology of MiniEdit: OverflowError"):
        imports.read(tmp_path / "a.mn")


@pytest.mark.parametrize(
    "made", ["ipBase='x'", "ipBase='10.0.0.0/32'", "lopts={'loss': 10**400}", "lopts={'bw': 1, 'max_queue_size': 'x'}"]
)
def test_nor_are_those_of_a_script(tmp_path: Path, made: str) -> None:
    script = f"from mininet.net import Mininet\nn = Mininet({made})\nn.lopts = dict({made}).get('lopts', {{}})\n"
    (tmp_path / "a.py").write_text(f"{script}n.addLink(n.addHost('h1'), n.addSwitch('s1'))\n")
    with pytest.raises(ForeignError, match=r"a\.py makes no network that is understood: "):
        imports.read(tmp_path / "a.py")


WORDS = st.sampled_from(["a", "b:eth1", "b", "host:eth0", "kind", "bridge", "linux", "veth", "endpoints", "exec", ""])
ANY = st.recursive(
    st.one_of(WORDS, st.none(), st.booleans(), st.integers(-3, 3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=8,
)
LINKS = st.lists(
    st.dictionaries(st.sampled_from(["endpoints", "endpoint", "type", "mtu", "vni", "remote"]), ANY), max_size=3
)


@given(st.dictionaries(WORDS, ANY, max_size=3), LINKS, ANY, ANY)
def test_whatever_a_file_of_containerlab_s_holds_nothing_breaks(
    tmp_path_factory: pytest.TempPathFactory, nodes: dict[str, Any], links: object, defaults: object, kinds: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.clab.yml"
    path.write_text(json.dumps({"topology": {"nodes": nodes, "links": links, "defaults": defaults, "kinds": kinds}}))
    draft = imports.read(path)
    assert draft.text()


@given(st.dictionaries(st.sampled_from(["hosts", "switches", "links", "application"]), ANY))
def test_nor_of_miniedit_s(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.mn"
    path.write_text(json.dumps(data))
    with contextlib.suppress(ForeignError):
        assert imports.read(path).text()
