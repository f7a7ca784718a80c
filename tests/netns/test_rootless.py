"""An ordinary user gets a lab of its own: proven by becoming one, with no more powers than a login would give."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.privileges import takes_root
from vswitch.lab import rootless

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
NOBODY = 65534
ROOTLESS = [sys.executable, "-m", "vswitch.lab.rootless"]

MAKE_A_TAP = """
import fcntl, os, struct
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"rootless0", 0x1002))  # TUNSETIFF: IFF_TAP | IFF_NO_PI
"""
SEE = "import os, socket; print(os.getuid(), sorted(name for _, name in socket.if_nameindex()), os.listdir('/run'))"
NAME_A_NAMESPACE = "from pyroute2 import netns; netns.create('guest'); print(netns.listnetns())"
TALK_TO_ITSELF = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2]):
    print("connected")
"""

pytestmark = takes_root  # to become another user


def test_a_user_makes_a_tap_and_sees_only_it_and_loopback() -> None:
    assert as_user("--", sys.executable, "-c", MAKE_A_TAP + SEE).stdout == "0 ['lo', 'rootless0'] []\n"
    assert not Path("/sys/class/net/rootless0").exists()


def test_a_user_makes_a_named_namespace_of_its_own() -> None:
    assert as_user("--", sys.executable, "-c", NAME_A_NAMESPACE).stdout == "['guest']\n"
    assert not Path("/run/netns/guest").exists()


def test_a_user_has_a_loopback_interface_that_works() -> None:
    assert as_user("--", sys.executable, "-c", TALK_TO_ITSELF).stdout == "connected\n"


def test_a_user_has_a_lab_of_several_switches() -> None:
    vswitch = f"{sys.executable} -m vswitch"
    topology = ROOT / "configs" / "lab-routed.yml"
    lines = (f"{vswitch} lab up --detach {topology}", f"{vswitch} lab ping", f"{vswitch} lab exec alice -- hostname",
             f"{vswitch} lab down", "ls -A /run/netns")  # fmt: skip
    result = as_user("--", "sh", "-ec", "\n".join(lines))
    assert result.returncode == 0, result.stderr
    pings, host, *rest = result.stdout.splitlines()
    assert (pings.split(" in ")[0], host, rest) == ("18 of 18 pings answered", "alice", ["routed is down"])


def test_the_command_s_exit_status_is_the_exit_status() -> None:
    assert as_user("--", "sh", "-c", "exit 7").returncode == 7


def test_a_tun_device_that_may_not_be_opened_is_one_sentence() -> None:
    refused = as_user("--", "true", tun=0o600)
    assert refused.returncode == 1
    assert refused.stderr == (
        "vswitch: /dev/net/tun may not be opened: have root run `chmod 666 /dev/net/tun`, or run this as root.\n"
    )


def test_forbidden_namespaces_are_one_sentence() -> None:
    """A process that was moved by chroot(2) may make no user namespace: user_namespaces(7)."""
    refused = as_user("--", "true", prepare=chroot_into_nothing_else)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "is not allowed here (Operation not permitted)" in refused.stderr


def test_optional_runs_the_command_all_the_same() -> None:
    plain = as_user("--optional", "--", "id", "-u", prepare=chroot_into_nothing_else)
    assert (plain.returncode, plain.stdout) == (0, f"{NOBODY}\n")
    assert "is not allowed here" in plain.stderr


def test_root_needs_nothing_and_stays_where_it_is() -> None:
    here = Path("/proc/self/ns/net").readlink()
    assert run([*ROOTLESS, "--", "readlink", "/proc/self/ns/net"]).stdout == f"{here}\n"


def test_a_command_that_is_not_there_is_one_sentence() -> None:
    missing = run([*ROOTLESS, "--", "no-such-program"])
    assert (missing.returncode, missing.stderr) == (
        127,
        "vswitch: no-such-program does not run: No such file or directory.\n",
    )


def test_a_user_sees_the_demo_from_end_to_end() -> None:
    demo = as_user(command=[sys.executable, "-m", "vswitch", "demo"])
    assert demo.returncode == 0, demo.stderr
    assert "not root: this runs in a user namespace of its own" in demo.stdout
    assert "Gbit/s" in demo.stdout
    assert "reserved_address 1" in demo.stdout


def as_user(
    *call: str,
    tun: int = 0o666,
    prepare: Callable[[], None] | None = None,
    command: list[str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """`python -m vswitch.lab.rootless`, or another command, as a user, over a private /dev/net/tun of this mode."""

    def become() -> None:
        rootless.unshare(rootless.CLONE_NEWNS)
        rootless.mount("none", "/", None, rootless.MS_REC | rootless.MS_PRIVATE)
        make_reachable([Path(sys.base_prefix), Path(sys.prefix), ROOT])
        make_tun(tun)
        if prepare:
            prepare()
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)

    result = run(command or [*ROOTLESS, *call], become)
    if not prepare and "is not allowed here" in result.stderr:
        pytest.skip(f"this machine lets no user make a namespace ({result.stderr.strip()})")
    return result


def run(call: list[str], first: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        call, cwd=ROOT, env=environment, preexec_fn=first, capture_output=True, text=True, timeout=60, check=False
    )


def make_tun(mode: int) -> None:
    """Put a node of this mode over /dev/net/tun in this mount namespace; the machine's own stays as it is."""
    tun = Path("/dev/net/tun")
    device = tun.stat().st_rdev
    rootless.mount("tmpfs", "/dev/net", "tmpfs", rootless.MS_NOSUID, "mode=755")
    os.mknod(tun, stat.S_IFCHR, device)
    tun.chmod(mode)


def make_reachable(paths: list[Path]) -> None:
    """Let everyone reach these folders: one that only root may enter is covered by one that holds nothing but them."""
    for path in paths:
        for parent in reversed(path.parents):
            if not parent.stat().st_mode & 0o001:
                held = {inner: os.open(inner, os.O_PATH) for inner in paths if inner.is_relative_to(parent)}
                rootless.mount("tmpfs", str(parent), "tmpfs", rootless.MS_NOSUID, "mode=755")
                for inner, handle in held.items():
                    inner.mkdir(mode=0o755, parents=True, exist_ok=True)
                    rootless.mount(f"/proc/self/fd/{handle}", str(inner), None, rootless.MS_BIND | rootless.MS_REC)
                break


def chroot_into_nothing_else() -> None:
    rootless.mount("/", "/mnt", None, rootless.MS_BIND | rootless.MS_REC)
    os.chroot("/mnt")
    os.chdir(ROOT)
