"""What is connected to what: real TAPs, held by real programs, in bridges and switches."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from pyroute2 import IPRoute

from tests.netns import guest
from tests.privileges import takes_root
from tests.running import VSWITCH, unique, until, vswitch
from vswitch.cli import cables
from vswitch.core.offload import Capability
from vswitch.observe import taps
from vswitch.observe.links import Master, Near
from vswitch.observe.places import Place
from vswitch.observe.processes import Descriptor
from vswitch.observe.taps import Holder, Station, Switch, Tap, survey
from vswitch.ports import netns, tun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.netns.conftest import Lab
    from vswitch.ports.netns import Namespace

MULTI_QUEUE = 0x100
GUEST_MAC, HOST_MAC = "52:54:00:a8:32:d7", "fe:54:00:a8:32:d7"
QEMU = ["qemu-system-x86_64", "-S", "-nodefaults", "-display", "none", "-accel", "tcg", "-m", "16"]
HOLD = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]

NOBODY = """
import ctypes, os, sys
from contextlib import redirect_stderr, redirect_stdout
from vswitch.cli.app import main
sys.argv = ["vswitch", *sys.argv[1:]]
def run():
    try:
        main()
    except SystemExit as end:
        return end.code or 0
with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
    run()  # import all there is to import while it may be read
os.setgroups([])
os.setresuid(65534, 65534, 65534)
ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE, as a program has it that starts as this user
sys.exit(run())
"""


@pytest.fixture
def namespace(fresh: Callable[[], str]) -> Iterator[Namespace]:
    with made(fresh()) as namespace:
        yield namespace


@contextmanager
def made(name: str) -> Iterator[Namespace]:
    namespace = netns.make(name, lambda _: None)
    yield namespace
    namespace.close()


@contextmanager
def held_by(command: list[str], *fds: int) -> Iterator[subprocess.Popen[bytes]]:
    """A program that alone holds these descriptors."""
    with subprocess.Popen(command, pass_fds=fds, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for fd in fds:
            os.close(fd)
        yield process
        process.kill()


def seen(namespace: Namespace, *switches: Switch) -> dict[str, Tap]:
    """The TAPs of one namespace by their names: other tests have others."""
    return {tap.near.interface: tap for tap in survey(switches).taps if tap.netns.inode == namespace.inode}


def bridge(namespace: Namespace, tap: str) -> None:
    """A kernel bridge `br-ext` with the TAP in it, both up."""
    with netns.inside(namespace), IPRoute() as ipr:
        ipr.link("add", ifname="br-ext", kind="bridge")
        index = ipr.link_lookup(ifname="br-ext")[0]
        ipr.link("set", index=index, state="up")
        ipr.link("set", index=ipr.link_lookup(ifname=tap)[0], master=index, address=HOST_MAC, state="up")


def test_the_near_end(namespace: Namespace) -> None:
    with closing(os.fdopen(guest.tap(namespace, "t0"), "rb", 0)) as held:
        tun.set_offload(held.fileno(), Capability.CSUM | Capability.TSO4)
        with netns.inside(namespace), IPRoute() as ipr:
            ipr.link("set", index=ipr.link_lookup(ifname="t0")[0], state="up", mtu=9000, address=HOST_MAC)
        tap = seen(namespace)["t0"]
        assert (tap.near.mac, tap.near.mtu, tap.near.up, tap.near.carrier) == (HOST_MAC, 9000, True, True)
        assert (tap.near.vnet_hdr, tap.near.offload) == (True, ["tx-checksum", "tso"])
        assert (tap.near.persistent, tap.near.multi_queue, tap.near.owner, tap.near.master) == (False,) * 2 + (
            None,
        ) * 2
        assert tap.netns == Place(namespace.inode, namespace.name)
        [holder] = tap.holders
        assert (holder.pid, holder.fd, holder.certain, holder.guest) == (os.getpid(), held.fileno(), True, None)


def test_a_persistent_tap_that_nobody_holds(namespace: Namespace) -> None:
    guest.persist(namespace, "t0")
    tap = seen(namespace)["t0"]
    assert (tap.near.persistent, tap.near.up, tap.near.carrier, tap.holders, tap.far()) == (True, False, False, [], [])
    assert "nobody that can be seen holds its other end" in str(cables.sentence(tap))


def test_a_tun_is_no_tap(namespace: Namespace) -> None:
    fd = guest.tap(namespace, "ip0", 1 | tun.IFF_NO_PI)
    assert seen(namespace) == {}
    os.close(fd)


@pytest.mark.program("qemu-system-x86_64")
def test_qemu_and_another_program_with_taps_of_one_name(namespace: Namespace, fresh: Callable[[], str]) -> None:
    with made(fresh()) as other:
        fd = guest.tap(namespace, "vnet0")
        bridge(namespace, "vnet0")
        machine = [*QEMU, "-name", "guest=web,debug-threads=on", "-netdev", f"tap,id=n0,fd={fd}"]
        machine += ["-device", f"virtio-net-pci,netdev=n0,mac={GUEST_MAC},romfile="]
        with held_by(machine, fd) as qemu, held_by(HOLD, guest.tap(other, "vnet0")) as python:
            until(lambda: seen(namespace)["vnet0"].holders, "QEMU to hold it")
            tap = seen(namespace)["vnet0"]
            assert tap.holders == [Holder(qemu.pid, "qemu-system-x86", fd, True, "web", [GUEST_MAC])]
            assert tap.far() == [Station(GUEST_MAC, ["qemu"])]
            assert str(cables.sentence(tap)) == (
                f"vnet0 ({HOST_MAC}) in namespace {namespace.name} is the near end of a cable; its other end is held "
                f"by qemu-system-x86 (pid {qemu.pid}, fd {fd}), guest web, whose network card is {GUEST_MAC}; "
                "here it is in bridge br-ext."
            )
            [holder] = seen(other)["vnet0"].holders
            assert (holder.pid, holder.certain, holder.macs) == (python.pid, True, [])


def test_a_queue_each_for_two_programs(namespace: Namespace) -> None:
    flags = tun.IFF_TAP | tun.IFF_NO_PI | MULTI_QUEUE
    first, second = guest.tap(namespace, "t0", flags), guest.tap(namespace, "t0", flags)
    with held_by(HOLD, first) as one, held_by(HOLD, second) as other:
        tap = seen(namespace)["t0"]
        assert tap.near.multi_queue
        assert {(holder.pid, holder.fd) for holder in tap.holders} == {(one.pid, first), (other.pid, second)}


def test_who_a_kernel_bridge_heard(namespace: Namespace) -> None:
    fd = guest.tap(namespace, "t0")
    bridge(namespace, "t0")
    frame = bytes(10) + guest.FRAME

    def far() -> list[Station]:
        os.write(fd, frame)
        return seen(namespace)["t0"].far()

    until(far, "the bridge to learn")
    assert far() == [Station("02:00:00:00:00:01", ["bridge"])], "the port's own address is not learned"
    assert seen(namespace)["t0"].near.master == Master("br-ext", "bridge")
    os.close(fd)


def test_a_tap_that_was_moved_is_found_where_it_is(namespace: Namespace, fresh: Callable[[], str]) -> None:
    with made(fresh()) as elsewhere, held_by(HOLD, guest.tap(namespace, "t0")) as python:
        with netns.inside(namespace), IPRoute() as ipr:
            ipr.link("set", index=ipr.link_lookup(ifname="t0")[0], net_ns_fd=elsewhere.fd)
        assert [holder.pid for holder in seen(elsewhere)["t0"].holders] == [python.pid]


def test_a_namespace_that_only_a_tap_leads_to(namespace: Namespace) -> None:
    with held_by(HOLD, guest.tap(namespace, "t0")) as python:
        netns.remove(namespace.name)
        tap = seen(namespace)["t0"]
        assert (tap.netns.name, [holder.pid for holder in tap.holders]) == ("unnamed", [python.pid])


def test_a_namespace_without_a_name_goes_by_a_process(namespace: Namespace) -> None:
    fd = guest.tap(namespace, "t0")
    with ExitStack() as stack:
        with netns.inside(namespace):
            python = stack.enter_context(held_by(HOLD))
        netns.remove(namespace.name)
        assert seen(namespace)["t0"].netns.name == f"pid:{python.pid}"
    os.close(fd)


def test_our_own_namespace_is_this(namespace: Namespace) -> None:
    with netns.inside(namespace), held_by(HOLD, guest.tap(namespace, "t0")):
        tap = seen(namespace)["t0"]
    assert tap.netns == Place(namespace.inode, "this")
    assert "is the host's end of a cable" in str(cables.sentence(tap))


def test_a_tap_of_a_running_switch(lab: Lab) -> None:
    running = lab.start({"web": {"address": ["10.88.0.1/24"]}, "db": {"address": ["10.88.0.2/24"]}})
    assert lab.guest("web").ping("10.88.0.2") is not None
    result = running.vswitch("inspect", lab.name("web"), "--json")
    [tap] = json.loads(result.stdout)
    assert running.process is not None
    assert [holder["pid"] for holder in tap["holders"]] == [running.process.pid]
    port = {"switch": lab.tag, "port": "web", "attachment": "tap", "state": "up", "macs": [tap["mac"]]}
    assert (tap["ports"], tap["far"]) == ([port], [])
    words = running.vswitch("inspect", lab.name("web")).stdout
    assert f"as port web of switch {lab.tag}." in words


def test_a_port_says_where_its_device_is(lab: Lab) -> None:
    running = lab.start({"web": {}})
    namespace = netns.find(lab.name("web"))
    assert namespace is not None
    assert running.ports()["web"]["netns"] == namespace.inode
    namespace.close()


def test_a_switch_that_listens_on_the_near_end(namespace: Namespace, fresh: Callable[[], str]) -> None:
    row = {"port": "lan", "attachment": "interface", "device": "t0", "netns": namespace.inode, "state": "up"}
    station = {"mac": GUEST_MAC, "vlan": 1, "port": "lan", "kind": "learned", "age": 0.0}
    switch = Switch("lab0", 1, [row], [station, {**station, "vlan": 2}, {**station, "port": "x"}])
    with made(fresh()) as other, held_by(HOLD, guest.tap(namespace, "t0")), held_by(HOLD, guest.tap(other, "t0")):
        tap = seen(namespace, switch)["t0"]
        assert tap.far() == [Station(GUEST_MAC, ["switch"])]
        assert str(cables.sentence(tap)).endswith("; here port lan of switch lab0 listens on it.")
        assert seen(other, switch)["t0"].ports == [], "it has the same name, and that is all"


def test_a_port_whose_namespace_is_not_known_is_told_by_who_holds_it(namespace: Namespace) -> None:
    row = {"port": "lan", "attachment": "fd", "device": "t0", "netns": None, "state": "up"}
    with held_by(HOLD, guest.tap(namespace, "t0")) as python:
        assert seen(namespace, Switch("lab0", python.pid, [row], []))["t0"].ports
        assert not seen(namespace, Switch("lab0", 1, [row], []))["t0"].ports


def a_tap(inode: int, name: str = "t0") -> Tap:
    near = Near(1, name, HOST_MAC, True, True, 1500, None, False, False, None, None, True, [], [])
    return Tap(near, Place(inode, f"ns{inode}"))


@pytest.mark.parametrize(
    ("where", "home", "there", "expected"),
    [
        (2, 1, [1, 2], [(2, True)]),
        (3, 1, [1, 2], []),
        (None, 1, [1], [(1, True)]),
        (None, 1, [1, 2], [(1, False)]),
        (None, 9, [1], [(1, True)]),
        (None, 9, [1, 2], [(1, False), (2, False)]),
    ],
)
def test_which_tap_a_descriptor_is(
    where: int | None, home: int, there: list[int], expected: list[tuple[int, bool]]
) -> None:
    found = taps._cables(Descriptor(1, 3, "t0", home), where, [a_tap(inode) for inode in there])
    assert [(tap.netns.inode, certain) for tap, certain in found] == expected


def test_a_doubt_is_shown() -> None:
    tap = a_tap(1)
    tap.holders.append(Holder(7, "x", 3, False, None, []))
    assert "x (pid 7, fd 3) (or that is another TAP of this name)" in str(cables.sentence(tap))
    assert "x (pid 7, fd 3) ?" in rendered([tap])


def rendered(found: list[Tap], width: int = 240) -> str:
    from rich.console import Console

    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(cables.table(found))
    return capture.get()


def test_a_name_that_a_terminal_would_obey(namespace: Namespace) -> None:
    name = b"a\xff\x1b[31mb"
    with netns.inside(namespace):
        fd = os.open(tun.DEVICE, os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(fd, 0x400454CA, tun._IFREQ.pack(name, tun.IFF_TAP | tun.IFF_NO_PI))
    with held_by(HOLD, fd) as python:
        [tap] = seen(namespace).values()
        assert tap.near.interface == name.decode(errors="surrogateescape")
        assert [holder.pid for holder in tap.holders] == [python.pid]
        for text in (rendered([tap]), str(cables.sentence(tap))):
            assert "a\\udcff\\x1b[31mb" in text
        assert json.loads(json.dumps(tap.as_json()))["interface"] == tap.near.interface
        for arguments in ([], [tap.near.interface]):
            result = subprocess.run([*VSWITCH, "inspect", *arguments], capture_output=True, check=False)
            assert (result.returncode, b"\x1b" in result.stdout) == (0, False)
            assert b"a\\udcff\\x1b[31mb" in result.stdout


def test_markup_is_text() -> None:
    assert "[red]x[/red]" in rendered([a_tap(1, "[red]x[/red]")])


def test_many_stations_are_counted() -> None:
    tap = a_tap(1)
    tap.near.learned.extend(f"02:00:00:00:00:{number:02x}" for number in range(7))
    assert "and 3 more" in rendered([tap])


def test_nothing_is_cut_off_on_a_narrow_terminal() -> None:
    text = "".join(rendered([a_tap(1)], width=80).split())
    assert "…" not in text
    assert max(map(len, rendered([a_tap(1)], width=80).splitlines())) <= 80


def test_an_interface_that_is_no_tap_or_is_not() -> None:
    result = vswitch("inspect", "lo")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("vswitch: the interface lo is no TAP")
    result = vswitch("inspect", missing := unique("n"), "--json")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"vswitch: there is no interface {missing}")


def test_a_switch_that_does_not_answer_is_said(namespace: Namespace) -> None:
    with held_by(HOLD, guest.tap(namespace, name := unique("i"))):
        result = vswitch("inspect", name, "--control", "/nowhere/x.sock")
    assert result.returncode == 0
    assert "No switch answers on /nowhere/x.sock" in result.stderr


@takes_root
def test_without_privileges_it_shows_what_it_can(namespace: Namespace, fresh: Callable[[], str]) -> None:
    with made(fresh()) as hidden, held_by(HOLD, guest.tap(namespace, "t0")), held_by(HOLD, guest.tap(hidden, "t0")):
        with netns.inside(namespace):
            result = nobody("inspect", "t0", "--json")
        assert result.returncode == 0, result.stderr
        [tap] = json.loads(result.stdout)
        assert (tap["netns"]["name"], tap["holders"]) == ("this", [])
        assert "could not be entered and the descriptors of some processes could not be looked at" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of a user who may do nothing."""
    return subprocess.run([sys.executable, "-c", NOBODY, *arguments], capture_output=True, text=True, check=False)
