"""A lab without being root: in a user, network and mount namespace of its own an ordinary user may do what root may.

    python -m vswitch.lab.rootless [--optional] -- COMMAND [ARGUMENT…]

runs COMMAND in such namespaces; root needs none, so for root it just runs. With --optional, COMMAND runs as it is where
the machine allows none of this. Inside, the user is root over a network that has a loopback interface and nothing
else, and /run is empty and its own, so that named namespaces can be made in /run/netns. See user_namespaces(7).
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import socket
import struct
import sys
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path

TUN = Path("/dev/net/tun")

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x0002_0000, 0x1000_0000, 0x4000_0000  # <linux/sched.h>
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x4_0000  # <linux/mount.h>
CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21  # <linux/capability.h>
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1

KNOBS = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "10000"),
)
"""What forbids user namespaces: a file under /proc/sys, the value that forbids, one that does not."""


class RootlessError(Exception):
    """No namespaces for this user: one sentence that says why and what to do."""


def main() -> None:
    """Run a command with the powers that a lab needs; exit status 1 where they cannot be had, else the command's."""
    parser = argparse.ArgumentParser(prog="python -m vswitch.lab.rootless", allow_abbrev=False)
    parser.add_argument("--optional", action="store_true", help="run COMMAND as it is where namespaces are forbidden")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="after --, what to run")
    call = parser.parse_args()
    try:
        if needed():
            enter()
    except RootlessError as error:
        print(f"vswitch: {error}", file=sys.stderr)  # noqa: T201
        if not call.optional:
            sys.exit(1)
    try:
        os.execvp(call.command[0], call.command)  # noqa: S606
    except OSError as error:
        print(f"vswitch: {call.command[0]} does not run: {error.strerror}.", file=sys.stderr)  # noqa: T201
        sys.exit(127)


def needed() -> bool:
    """Whether this process lacks what a lab needs: to be root, over its network (NET_ADMIN) and mounts (SYS_ADMIN)."""
    powers = (1 << CAP_NET_ADMIN) | (1 << CAP_SYS_ADMIN)
    return os.geteuid() != 0 or _effective_capabilities() & powers != powers


def enter() -> None:
    """Move this process, which must have one thread only, into namespaces of its own, as their root.

    A child tries it first: where the machine forbids a part of it, this process stays as it was.
    Raises RootlessError.
    """
    _require_tun()
    if refused := _rehearse() or _try_to_move():
        raise RootlessError(
            f"Being root in a namespace of one's own is not allowed here ({os.strerror(refused)}): {_advice()}."
        )


def unshare(flags: int) -> None:
    """unshare(2). Raises OSError."""
    if sys.version_info >= (3, 12):
        os.unshare(flags)
    else:
        _libc("unshare", flags)


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """mount(2). Raises OSError."""
    _libc("mount", source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), data.encode())


def _libc(function: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), function)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _effective_capabilities() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("CapEff:")[2].split()[0], 16)


def _require_tun() -> None:
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        raise RootlessError(f"{TUN} may not be opened: have root run `chmod 666 {TUN}`, or run this as root.") from None
    except OSError:
        raise RootlessError(f"{TUN} is not there: have root run `modprobe tun`, or hand it to the container.") from None


def _rehearse() -> int:
    """Try to move in a child; the errno of what was refused, 0 where all went well."""
    child = os.fork()
    if child == 0:
        refused = errno.EINTR
        try:
            refused = _try_to_move()
        finally:
            os._exit(refused)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _try_to_move() -> int:
    try:
        _move()
    except OSError as error:
        return error.errno or 1
    return 0


def _move() -> None:
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")  # else an ordinary user may map no group
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    _mount_sysfs()
    _raise_loopback()


def _mount_sysfs() -> None:
    """Show the new namespace's interfaces in /sys/class/net, where the machine lets one; nothing here depends on it."""
    with suppress(OSError):
        mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))  # struct ifreq


def _advice() -> str:
    for knob, forbids, allows in KNOBS:
        try:
            value = Path("/proc/sys", knob).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if value == forbids:
            return f"run this as root, or have root run `sysctl {knob.replace('/', '.')}={allows}`"
    return "run this as root" if os.geteuid() else "give this container the capabilities NET_ADMIN and SYS_ADMIN"


if __name__ == "__main__":
    main()
