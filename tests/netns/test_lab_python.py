"""Labs as objects of Python: built, changed, impaired, used and gone, by `with` and by `async with`."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.netns.test_plugin import left
from tests.running import until, vswitch
from vswitch.control.config.reading import ConfigError
from vswitch.control.status import NotFoundError
from vswitch.lab import Guest, Lab, LabError, Link, Switch
from vswitch.lab.place import PlaceError
from vswitch.ports import PortError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHAIN = """
switches: {s1: , s2: }
guests:
  a: {switch: s1, address: [10.84.0.1/24, "fd84::1/64"], environment: {WHO: a}}
  b: {switch: s2, address: [10.84.0.2/24, "fd84::2/64"]}
links: [[s1, s2]]
"""


@pytest.fixture(scope="module")
def chain() -> Iterator[Lab]:
    """Two guests of two switches, for tests that leave them as they were."""
    with Lab.from_yaml(CHAIN) as lab:
        yield lab


def test_objects_are_described_and_then_do_things() -> None:
    s1, s2 = Switch("s1"), Switch("s2", vlan_filtering=True)
    a, b = Guest("a", switch=s1, address="10.84.0.1/24"), Guest("b", switch="s2", address="10.84.0.2/24")
    lab = Lab(s1, s2, a, b, Link(s1, s2))
    for use in (lambda: a.ping(b), s1.ports, lab.ping_all, lambda: lab.switch("s1")):
        with pytest.raises(LabError, match=r"runs|not up"):
            use()
    with lab:
        assert a.ping(b) is not None
        assert a.ping("b") is not None
        assert b.ping("10.84.0.1") is not None
        assert lab.guest("a") is a
        assert lab.switches == [s1, s2]
        assert set(s1.ports()) == {"a", "s2"}
        assert {row.port for row in s2.fdb()} == {"b", "s1"}
        assert [row.vlan for row in s2.vlans()] == [1]
        assert {row.kind for row in s1.history()} == {"learned"}
        assert s1.explain("a", b"\xff" * 6 + b"\2" * 6 + bytes(48)).verdict == "forwarded"
        assert s1.last(1, port="a")[0].port == "a"
        with pytest.raises(NotFoundError, match="no port z"):
            s1.port("z")
    assert left(lab.name) == []
    with pytest.raises(LabError, match="is in no lab that runs"):
        a.ping(b)
    with lab:
        assert a.ping(b) is not None, "it can be up again"


def test_programs_in_guests(chain: Lab) -> None:
    a, b = chain.guests
    done = a.run(["sh", "-c", "hostname; echo $WHO; cat; cat /etc/hosts"], input="given\n")
    assert done.stdout.splitlines()[:3] == ["a", "a", "given"]
    assert "10.84.0.2 b" in done.stdout
    assert b.run("ls /sys/class/net").stdout.split() == ["eth0", "lo"]
    assert b.run("exit 3", check=False).returncode == 3
    with pytest.raises(subprocess.CalledProcessError) as failure:
        b.run("echo out; echo trouble >&2; exit 3")
    assert (failure.value.returncode, failure.value.stdout, failure.value.stderr) == (3, "out\n", "trouble\n")
    assert failure.value.__notes__ == ["in guest b: trouble"]
    with pytest.raises(subprocess.TimeoutExpired):
        b.run(["sleep", "100"], timeout=0.1)
    with pytest.raises(FileNotFoundError):
        b.run(["no-such-program"])
    with pytest.raises(LabError, match="there is no guest z; there are a, b"):
        chain.guest("z")


def test_sockets_of_guests(chain: Lab) -> None:
    a, b = chain.guests
    with b.socket() as server, a.socket() as client:
        server.bind((b.addresses[0], 0))
        server.listen()
        client.connect(server.getsockname())
        connection, peer = server.accept()
        connection.close()
        assert peer[0] == a.addresses[0]
    with b.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
        six.bind(("fd84::2", 0))


def test_pings_at_once_do_not_take_each_other_s_answers(chain: Lab) -> None:
    a, b = chain.guests
    chain.link("b", "s2").impair(out={"delay": "200ms"})
    times: list[float | None] = []
    slow = threading.Thread(target=lambda: times.append(a.ping(b)))
    slow.start()
    while slow.is_alive():
        assert a.ping("10.84.0.1") is not None
    chain.link("b", "s2").clear()
    assert times[0] is not None
    assert times[0] > 0.2


def test_links_are_impaired_and_cleared(chain: Lab) -> None:
    a, b = chain.guests
    link = chain.link("s2", "s1")
    assert [(port.switch, port.name) for port in link.ports] == [("s2", "s1"), ("s1", "s2")]
    link.impair(out={"loss": "100%"}, seed=3)
    assert a.ping(b, timeout=0.3) is None
    row = link.ports[0].row()
    assert row.impair is not None
    assert row.impair.seed == 3
    assert row.dropped["impaired"] >= 1
    link.impair(in_={"delay": "1ms"})
    row = link.ports[0].row()
    assert row.impair is not None
    assert (row.impair.seed, set(row.impair.directions)) == (3, {"in", "out"}), "what is not mentioned stays"
    link.impair(out={"delay": "60ms"}, in_={"delay": "50ms"})
    assert (a.ping(b) or 0) > 0.11
    link.clear()
    assert [port.row().impair for port in link.ports] == [None, None]
    assert a.ping(b) is not None
    with pytest.raises(ConfigError, match="did you mean delay"):
        link.impair(out={"dely": "60ms"})
    with pytest.raises(LabError, match="there is no link from a to b; there are a:eth0 to s1:a"):
        chain.link("a", "b")


def test_a_port_is_captured(chain: Lab) -> None:
    a, b = chain.guests
    with chain.switch("s1").port("s2").capture() as seen, chain.switch("s2").capture() as all_of_it:
        a.ping(b)
        assert seen.expect("icmp[icmptype] = icmp-echo", direction="out").interface == "s2"
        assert all_of_it.expect("icmp", port="b").interface == "b"
        with pytest.raises(AssertionError, match="at s1, direction in"):
            all_of_it.expect("port 12345", timeout=0.0, port="s1", direction="in")


def test_a_lab_changes_while_it_is_up() -> None:
    with Lab.from_yaml(CHAIN) as lab:
        c = Guest("c", switch="s1", address="10.84.0.3/24")
        changes = lab.add(c, Switch("s3"), Link("s2", "s3"))
        assert any(change.startswith("+ guest c") for change in changes)
        assert c.ping("b") is not None
        with pytest.raises(LabError, match="there is a guest c already"):
            lab.add(Guest("c", switch="s1"))
        with pytest.raises(ConfigError, match="no switch 'nowhere'"):
            lab.add(Guest("d", switch="nowhere"))
        assert [guest.name for guest in lab.guests] == ["a", "b", "c"]
        lab.apply({"switches": {"s": {}}, "guests": {"c": {"switch": "s", "address": "10.84.0.3/24"}}})
        assert [guest.name for guest in lab.guests] == ["c"]
        assert c.run(["true"]).returncode == 0
        with pytest.raises(LabError, match="there is no guest a; there are c"):
            lab.guest("a")
        lab.apply(CHAIN)
        assert [guest.name for guest in lab.guests] == ["a", "b"]
        with pytest.raises(ConfigError, match="not YAML"):
            lab.apply("switches: [")
    assert left(lab.name) == []


def test_what_is_no_part_of_a_lab_is_refused() -> None:
    with pytest.raises(LabError, match="'s' is neither a Switch, nor a Guest, nor a Link"):
        Lab("s")  # type: ignore[arg-type]


def test_a_link_has_options_of_the_end_named_first() -> None:
    a = Guest("a", switch="s1", address="10.84.0.1/24")
    b = Guest("b")
    links = Link("s1", "s2", impair={"in": {"delay": "50ms"}}), Link(b, "s2", address="10.84.0.2/24")
    with Lab(Switch("s1"), Switch("s2"), a, b, *links) as lab:
        assert (a.ping(b) or 0) > 0.05
        lab.link("s1", "s2").clear()
        assert (a.ping(b) or 1) < 0.05


def test_what_was_started_ends_with_the_lab() -> None:
    with Lab.from_yaml(CHAIN) as lab:
        a = lab.guest("a")
        process = a.popen(["sleep", "1000"], stdout=subprocess.PIPE)
        a.run("sleep 1000 >/dev/null 2>&1 &")
        open_socket, wire = a.socket(), a.wire()
    assert process.returncode == -15
    assert process.stdout is not None
    assert process.stdout.closed
    assert open_socket.fileno() == wire.fileno() == -1
    assert left(lab.name) == []


def test_inside_a_machine_nothing_is_done() -> None:
    machine = {"program": "true", "kernel": "/none"}
    with Lab(Switch("s"), Guest("vm", switch="s", qemu=machine), Guest("a", switch="s", address="10.84.0.1/24")) as lab:
        vm = lab.guest("vm")
        for use in (lambda: vm.run(["true"]), lambda: vm.ping("a"), vm.socket, vm.wire):
            with pytest.raises(LabError, match="vm is a virtual machine"):
                use()
        assert [port.name for port in vm.ports] == ["vm"]
        with pytest.raises(LabError, match="a and vm have no addresses of one family"):
            lab.guest("a").ping("vm")


def test_a_file_and_another_name(tmp_path: Path) -> None:
    (tmp_path / "part.yml").write_text("guests: {c: {switch: s1}}")
    (tmp_path / "lab.yml").write_text(f"name: mine\ninclude: part.yml\n{CHAIN}")
    name = f"p{os.getpid()}"
    with Lab.from_file(tmp_path / "lab.yml", name=name) as lab:
        assert [guest.name for guest in lab.guests] == ["a", "b", "c"]
        assert lab.name == lab.status()["name"] == name
        with pytest.raises(PlaceError, match="runs already"):
            Lab.from_file(tmp_path / "lab.yml", name=name).up()
        assert lab.guest("c").run(["true"]).returncode == 0
    (tmp_path / "lab.yml").write_text("name: mine\nswitchs: {s: }\n")
    with pytest.raises(ConfigError, match=r"lab\.yml:2: .*unknown key"):
        Lab.from_file(tmp_path / "lab.yml")


def test_the_command_line_reaches_it_and_may_end_it() -> None:
    with Lab.from_yaml(CHAIN) as lab:
        assert json.loads(vswitch("lab", "status", lab.name, "--json").stdout)["name"] == lab.name
        assert vswitch("lab", "exec", "--lab", lab.name, "a", "--", "hostname").stdout == "a\n"
        assert vswitch("lab", "down", lab.name).returncode == 0
        until(lambda: not left(lab.name), "the lab to go")
        with pytest.raises(LabError, match="there is no guest a; there is none"):
            lab.guest("a")


def test_what_cannot_come_up_leaves_nothing() -> None:
    threads = threading.active_count()
    lab = Lab(Switch("s"), Guest("a", switch="s", setup="echo no; exit 5"))
    with pytest.raises(PortError, match="'echo no; exit 5' ended with status 5: no"):
        lab.up()
    assert left(lab.name) == []
    until(lambda: threading.active_count() <= threads, "threads to end")
    with pytest.raises(ConfigError, match="no switch"):
        Lab(Guest("a", switch="s")).up()


def test_a_program_that_ends_without_down_leaves_nothing() -> None:
    code = f"from vswitch.lab import Lab; lab = Lab.from_yaml('''{CHAIN}''').up(); print(lab.name)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert left(result.stdout.strip()) == []


def test_on_the_program_s_own_loop() -> None:
    lab = Lab.from_yaml(CHAIN)

    async def use() -> None:
        async with lab as up:
            a, b = up.guest("a"), up.guest("b")
            async with up.switch("s1").port("a").capture() as seen:
                assert all(await asyncio.gather(a.ping(b), b.ping(a), a.ping("10.84.0.2")))
                assert (await seen.expect("icmp")).interface == "a"
                await seen.expect_none("port 12345", within=0.1)
                assert seen.packets
                assert not seen.drops
            assert (await a.run(["hostname"])).stdout == "a\n"
            with pytest.raises(subprocess.CalledProcessError):
                await a.run("exit 3")
            link = up.link("s1", "s2")
            await link.impair(out={"delay": "100ms"})
            assert (await a.ping(b) or 0) > 0.1
            await link.clear()
            assert up.switch("s1").fdb()
            async with up.switch("s2").capture() as seen:
                await a.ping(b)
                (port,) = b.ports
                assert (await seen.expect("icmp", direction="in", port=port.name)).interface == "b"
                await seen.expect_none("icmp", within=0.1, port="a")
            assert await up.add(Guest("d", switch="s1", address="10.84.0.4/24"))
            assert await up.guest("d").ping(b) is not None
            with pytest.raises(LabError, match="there is a guest d already"):
                await up.add(Guest("d", switch="s2"))
            await up.apply({"switches": {"s": {}}, "guests": {"c": {"switch": "s", "address": "10.84.0.3/24"}}})
            assert up.status()["guests"][0]["guest"] == "c"
            assert (await up.ping_all()).pairs == 0
            await up.apply(CHAIN)
            assert ([guest.name for guest in up.guests], [s.name for s in up.switches]) == (["a", "b"], ["s1", "s2"])
            with pytest.raises(LabError, match="would wait for the loop that it runs on"):
                lab.add(Guest("d", switch="s"))

    asyncio.run(use())
    assert left(lab.name) == []


def test_cancelled_while_it_comes_up_it_leaves_nothing() -> None:
    async def scenario(lab: Lab, delay: float) -> None:
        coming = asyncio.ensure_future(lab.__aenter__())
        await asyncio.sleep(delay)
        coming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await coming

    for number in range(8):
        lab = Lab(Switch("s1"), *(Guest(f"g{n}", switch="s1", setup="sleep 1000") for n in range(5)))
        asyncio.run(scenario(lab, number * 0.01))
        assert left(lab.name) == []
