"""Namespaces: found, entered and left, made once for all ports, and removed if and only if the switch made them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.netns import guest
from vswitch.ports import netns
from vswitch.ports.base import PortError
from vswitch.ports.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DIE_WITH_A_NAMESPACE = """
import os, signal, sys
from pathlib import Path
from vswitch.ports.host import Host
Host(Path(sys.argv[1])).namespace(sys.argv[2])
os.kill(os.getpid(), signal.SIGKILL)
"""


def made(name: str) -> netns.Namespace:
    return netns.make(name, lambda _: None)


def die_with_a_namespace(ledger: Path, name: str) -> None:
    result = subprocess.run([sys.executable, "-c", DIE_WITH_A_NAMESPACE, str(ledger), name], check=False)
    assert result.returncode == -signal.SIGKILL


def test_a_thread_comes_back_from_a_namespace(fresh: Callable[[], str]) -> None:
    there, here = made(fresh()), netns.current()
    with netns.inside(there):
        inner = netns.current()
    after = netns.current()
    assert inner == there != here == after
    for namespace in (there, here, inner, after):
        namespace.close()


def test_a_thread_comes_back_after_an_error(fresh: Callable[[], str]) -> None:
    there, here = made(fresh()), netns.current()
    with pytest.raises(ZeroDivisionError), netns.inside(there):
        raise ZeroDivisionError
    after = netns.current()
    assert after == here
    for namespace in (there, here, after):
        namespace.close()


def test_other_threads_stay_where_they_are(fresh: Callable[[], str]) -> None:
    there, here = made(fresh()), netns.current()
    seen: list[netns.Namespace] = []
    with netns.inside(there):
        thread = threading.Thread(target=lambda: seen.append(netns.current()))
        thread.start()
        thread.join()
    # A new thread begins where its maker is, and stays there when that one leaves.
    assert seen == [there]
    for namespace in (there, here, *seen):
        namespace.close()


def test_a_namespace_is_found_by_name_path_and_process(fresh: Callable[[], str]) -> None:
    name = fresh()
    namespace, here = made(name), netns.current()
    by_name, by_path, by_pid = netns.find(name), netns.find(f"/run/netns/{name}"), netns.find(f"pid:{os.getpid()}")
    assert by_name == by_path == namespace
    assert by_pid == here
    for found in (namespace, here, by_name, by_path, by_pid):
        assert found is not None
        found.close()


def test_a_made_namespace_has_its_loopback_up(fresh: Callable[[], str]) -> None:
    import socket

    namespace = made(fresh())
    with netns.inside(namespace), socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()[:2], timeout=5).close()
    namespace.close()


def test_a_name_that_is_taken_by_a_folder_leaks_nothing(fresh: Callable[[], str]) -> None:
    path = netns.NAMED / fresh()
    path.mkdir(parents=True)
    before = guest.descriptors()
    with pytest.raises(PortError):
        made(path.name)
    assert guest.descriptors() == before
    path.rmdir()


def test_a_name_that_somebody_died_over_is_used(fresh: Callable[[], str], host: Host) -> None:
    path = netns.NAMED / fresh()
    netns.NAMED.mkdir(exist_ok=True)
    path.touch()
    assert netns.find(path.name) is None
    host.namespace(path.name)
    assert os.path.ismount(path)
    host.release(path.name)
    assert not path.exists()


def test_two_users_share_a_namespace_until_the_last_leaves(fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    first, second = host.namespace(name), host.namespace(name)
    assert first == second
    host.release(name)
    assert os.path.ismount(f"/run/netns/{name}")
    host.release(name)
    assert not (netns.NAMED / name).exists()


def test_a_namespace_that_was_there_stays(fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    made(name).close()
    host.namespace(name)
    host.release(name)
    assert os.path.ismount(f"/run/netns/{name}")


@pytest.mark.parametrize("name", ["/nowhere/at/all", "pid:999999999", "pid:x"])
def test_only_names_are_made(name: str, host: Host) -> None:
    with pytest.raises(PortError, match="there is no namespace"):
        host.namespace(name)


def test_what_a_killed_run_made_is_removed(fresh: Callable[[], str], tmp_path: Path) -> None:
    name, ledger = fresh(), tmp_path / "x.ledger"
    die_with_a_namespace(ledger, name)
    assert os.path.ismount(f"/run/netns/{name}")
    assert ledger.stat().st_mode & 0o777 == 0o600
    Host(ledger).settle()
    assert not (netns.NAMED / name).exists()
    assert not ledger.exists()


def test_what_a_killed_run_made_is_taken_over(fresh: Callable[[], str], tmp_path: Path) -> None:
    name, ledger = fresh(), tmp_path / "x.ledger"
    die_with_a_namespace(ledger, name)
    before = (netns.NAMED / name).stat().st_ino
    host = Host(ledger)
    assert host.namespace(name).inode == before
    host.settle()
    assert os.path.ismount(f"/run/netns/{name}")
    host.release(name)
    assert not (netns.NAMED / name).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"namespaces": 3}', '{"namespaces": {"a": "b"}}'])
def test_a_spoilt_ledger_is_an_empty_one(text: str, tmp_path: Path) -> None:
    ledger = tmp_path / "x.ledger"
    ledger.write_text(text)
    Host(ledger).settle()


def test_a_namespace_keeps_working_while_it_has_no_name(fresh: Callable[[], str]) -> None:
    name = fresh()
    namespace = made(name)
    netns.remove(name)
    os.close(guest.tap(namespace, "g0"))
    namespace.close()


def test_a_namespace_made_anew_by_somebody_else_is_left_alone(fresh: Callable[[], str], tmp_path: Path) -> None:
    """It may have the inode number of the one before: only the cookie tells them apart."""
    name, ledger = fresh(), tmp_path / "x.ledger"
    die_with_a_namespace(ledger, name)
    dead = (netns.NAMED / name).stat().st_ino
    for _ in range(200):  # until the kernel, which ends namespaces in its own time, gives the number out again
        netns.remove(name)
        time.sleep(0.01)
        theirs = made(name)
        if theirs.inode == dead:
            break
        theirs.close()
    else:
        pytest.skip("the kernel gave the inode number to nobody, or to a namespace of another program")
    Host(ledger).settle()
    assert os.path.ismount(f"/run/netns/{name}")
    theirs.close()


def test_a_ledger_of_another_boot_removes_nothing(fresh: Callable[[], str], tmp_path: Path) -> None:
    name, ledger = fresh(), tmp_path / "x.ledger"
    die_with_a_namespace(ledger, name)
    ledger.write_text(json.dumps({**json.loads(ledger.read_text()), "boot": "another"}))
    Host(ledger).settle()
    assert os.path.ismount(f"/run/netns/{name}")
