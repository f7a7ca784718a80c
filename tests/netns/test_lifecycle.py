"""What a switch makes, it removes; what it took, it gives back; what is anybody else's, it leaves alone."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyroute2 import IPRoute

from tests.running import VSWITCH, Running, unique, until, vswitch
from vswitch.ports import netns, tun
from vswitch.ports.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.netns.conftest import Lab

NAMED = Path("/run/netns")


def links() -> dict[str, dict[str, object]]:
    """The interfaces of this namespace, with what somebody may have changed of them."""
    with IPRoute() as ipr:
        return {
            link.get("ifname"): {"mtu": link.get("mtu"), "mac": link.get("address"), "up": link["flags"] & 1}
            for link in ipr.get_links()
        }


@pytest.fixture
def persistent() -> Iterator[str]:
    """A TAP that is there without anybody who holds it."""
    name = unique("p")
    command(f"tuntap add {name} mode tap")
    yield name
    if name in links():
        command(f"tuntap del {name} mode tap")


def command(what: str) -> None:
    """Make or delete a persistent TAP, as `ip tuntap` does, by the same ioctl."""
    _, verb, name, *_ = what.split()
    fd, _ = tun.attach(name)
    import fcntl

    fcntl.ioctl(fd, 0x400454CB, int(verb == "add"))  # TUNSETPERSIST
    os.close(fd)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_signal_ends_it_with_status_0_and_nothing_left(lab: Lab, number: signal.Signals, loop: str) -> None:
    running = Running(lab.folder, lab.config({"a": {}, "b": {"netns": None}}), environment={"VSWITCH_LOOP": loop})
    with running:
        assert lab.name("b") in links()
        assert (NAMED / lab.name("a")).exists()
        assert running.stop(number) == 0
    assert lab.name("b") not in links()
    assert not (NAMED / lab.name("a")).exists()
    assert {path.suffix for path in lab.folder.iterdir()} == {".yml", ".log"}


def test_after_kill_9_the_next_start_takes_over_and_leaves_nothing(lab: Lab) -> None:
    running = lab.start({"a": {"address": "10.88.0.1/24"}, "b": {"address": "10.88.0.2/24"}})
    guest = subprocess.Popen(
        [sys.executable, "-c", f"from vswitch.ports import netns\nn = netns.find({lab.name('a')!r})\n"
         "with netns.inside(n):\n    print('in', flush=True)\n    input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert guest.stdout is not None
    assert guest.stdin is not None
    assert guest.stdout.readline() == b"in\n"
    running.stop(signal.SIGKILL)
    inode = (NAMED / lab.name("a")).stat().st_ino
    del_b = lab.config({"a": {"address": "10.88.0.1/24"}, "c": {"address": "10.88.0.3/24"}})
    running.write(del_b)
    running.start()
    assert (NAMED / lab.name("a")).stat().st_ino == inode, "the guest that lives there goes on"
    assert not (NAMED / lab.name("b")).exists(), "what nobody needs any more goes"
    assert lab.guest("a").ping("10.88.0.3") is not None
    running.stop()
    guest.communicate(b"\n")
    assert not list(NAMED.glob(f"{lab.tag}*"))
    assert {path.suffix for path in lab.folder.iterdir()} == {".yml", ".log"}


def test_a_namespace_that_was_there_stays(lab: Lab) -> None:
    name = lab.name("a")
    namespace = netns.make(name, lambda _: None)
    try:
        running = lab.start({"a": {}})
        running.stop(signal.SIGKILL)
        running.start()
        running.stop()
        assert (NAMED / name).stat().st_ino == namespace.inode
    finally:
        namespace.close()
        netns.remove(name)


def test_a_ledger_that_names_somebody_else_s_namespace_removes_nothing(lab: Lab) -> None:
    name = lab.name("x")
    namespace = netns.make(name, lambda _: None)
    try:
        ledger = lab.folder / f"{lab.tag}.ledger"
        for text in (
            f'{{"namespaces": {{"{name}": 1}}}}',
            "not JSON",
            '{"namespaces": []}',
            '{"namespaces": {"../x": 1}}',
        ):
            ledger.write_text(text)
            host = Host(ledger)
            host.settle()
        assert (NAMED / name).stat().st_ino == namespace.inode
    finally:
        namespace.close()
        netns.remove(name)


def test_two_ports_may_share_a_namespace_that_goes_with_the_last(lab: Lab) -> None:
    running = lab.start({"a": {}, "b": {"netns": lab.name("a")}})
    running.client.call("DELETE", "ports/a")
    assert (NAMED / lab.name("a")).exists()
    running.client.call("DELETE", "ports/b")
    assert not (NAMED / lab.name("a")).exists()


def test_a_tap_that_was_there_gets_back_what_it_had(lab: Lab, persistent: str) -> None:
    before = links()[persistent]
    port = {"tap": persistent, "mtu": 1400, "mac": "02:12:34:56:78:9a", "address": ["10.77.0.1/24"]}
    with Running(lab.folder, {"name": lab.tag, "ports": {"a": port}}) as running:
        assert links()[persistent] == {"mtu": 1400, "mac": "02:12:34:56:78:9a", "up": 1}
        assert running.stop() == 0
    assert links()[persistent] == before
    with IPRoute() as ipr:
        assert not list(ipr.get_addr(address="10.77.0.1"))


def test_a_start_that_fails_leaves_nothing_and_says_who_is_in_the_way(lab: Lab, persistent: str) -> None:
    fd, _ = tun.attach(persistent)
    file = lab.folder / "held.yml"
    file.write_text(f"name: {lab.tag}\nports:\n  a: {lab.tap('a')}\n  b: {{tap: {persistent}}}\n")
    try:
        result = vswitch("run", str(file))
    finally:
        os.close(fd)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"vswitch: port b: the TAP {persistent} is held by ")
    assert f"(pid {os.getpid()}, fd {fd})" in last
    assert "Traceback" not in result.stderr
    assert not (NAMED / lab.name("a")).exists()


def test_a_descriptor_is_inherited_and_its_device_stays(lab: Lab, persistent: str) -> None:
    fd, _ = tun.attach(persistent)
    try:
        with Running(lab.folder, {"name": lab.tag, "ports": {"a": {"fd": fd}}}, fds=(fd,)) as running:
            row = running.ports()["a"]
            assert (row["attachment"], row["device"], row["state"]) == ("fd", persistent, "down")
            with IPRoute() as ipr:
                ipr.link("set", index=ipr.link_lookup(ifname=persistent)[0], state="up")
            until(lambda: running.ports()["a"]["state"] == "up", "the port to follow")
            assert running.stop() == 0
        assert persistent in links()
    finally:
        os.close(fd)


def test_a_descriptor_that_is_no_tap_is_refused(lab: Lab) -> None:
    file = lab.folder / "fd.yml"
    file.write_text(f"name: {lab.tag}\nports: {{a: {{fd: 0}}}}\n")
    result = subprocess.run(
        [*VSWITCH, "run", str(file)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("vswitch: port a: descriptor 0 is ")


def test_an_interface_that_is_no_tap_is_refused(lab: Lab) -> None:
    file = lab.folder / "lo.yml"
    file.write_text(f"name: {lab.tag}\nports: {{a: {{tap: lo}}}}\n")
    result = vswitch("run", str(file))
    assert (result.returncode, "exists and is no TAP" in result.stderr) == (1, True)


def test_a_second_switch_of_the_same_name_is_refused(lab: Lab) -> None:
    running = lab.start({"a": {}})
    result = vswitch("run", str(running.file))
    assert result.returncode == 1
    assert "runs already" in result.stderr
    assert running.ports()["a"]["state"] == "up"


def test_the_control_socket_is_for_its_owner_and_group_alone(lab: Lab) -> None:
    running = lab.start({"a": {}})
    assert stat.S_IMODE(running.control.stat().st_mode) == 0o660


def test_a_pattern_takes_the_first_free_name(lab: Lab) -> None:
    running = lab.start({"a": {"tap": "vnet%d"}, "b": {"tap": "vnet%d", "netns": lab.name("a")}})
    assert [row["device"] for row in running.ports().values()] == ["vnet0", "vnet1"]


def test_sixty_four_ports_start_and_stop(lab: Lab) -> None:
    running = lab.start({f"p{n}": {} for n in range(64)})
    assert all(row["state"] == "up" for row in running.ports().values())
    assert running.stop() == 0
    assert not list(NAMED.glob(f"{lab.tag}*"))


def test_nothing_wakes_up_when_nothing_happens(lab: Lab, three: Callable[..., Running]) -> None:
    running = three()
    assert running.process is not None
    for port in "abc":
        namespace = netns.find(lab.name(port))
        assert namespace is not None
        with netns.inside(namespace):
            Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
        namespace.close()
    status = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/status")

    def wakeups() -> int:
        return sum(int(line.split()[1]) for line in status.read_text().splitlines() if "ctxt_switches" in line)

    def idle() -> bool:
        before = wakeups()
        subprocess.run(["sleep", "2"], check=True)
        return wakeups() == before

    until(idle, "two seconds without a wake-up")


def test_run_is_told_what_is_wrong_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "broken.yml"
    file.write_text("name: x\nports: {a: {tap: a, acess: 10}}\n")
    result = subprocess.run([*VSWITCH, "run", str(file)], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"{file}:2: ports.a.acess: unknown key; did you mean access?\n"
