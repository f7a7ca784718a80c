"""The pytest plugin with real labs: up and down, side by side, for users, and what a failure shows."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.labs import NAMED
from tests.netns.test_rootless import as_user, chroot_into_nothing_else
from tests.privileges import takes_root
from tests.running import until
from vswitch.control.place import lab_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["pytester"]

TOPOLOGY = """
name: anything
switches: {s: }
guests:
  a: {switch: s, address: 10.85.0.1/24, run: "echo a speaks; exit 3"}
  b: {switch: s, address: 10.85.0.2/24}
"""

PING = """
import pathlib, pytest

@pytest.mark.lab("topology.yml")
@pytest.mark.parametrize("turn", range(4))
def test_ping(lab, turn):
    assert lab.name != "anything"
    assert lab.guest("a").ping(lab.guest("b"))
    pathlib.Path(f"name-{turn}").write_text(lab.name)
"""


def left(name: str) -> list[Path]:
    """What is on the host of a lab."""
    run = lab_directory(name)
    return [path for path in (run, *NAMED.glob(f"{name}-*"), *run.parents[1].glob(f"{name}-*")) if path.exists()]


def test_labs_of_one_file_are_up_side_by_side_and_gone_after(pytester: pytest.Pytester) -> None:
    pytester.makefile(".yml", topology=TOPOLOGY)
    pytester.makepyfile(PING)
    result = pytester.runpytest_subprocess("-n", "2", "--strict-markers")
    result.assert_outcomes(passed=4)
    names = [(pytester.path / f"name-{turn}").read_text() for turn in range(4)]
    assert len(set(names)) == 4
    assert [left(name) for name in names] == [[]] * 4


def test_a_failure_shows_what_switches_and_guests_know(pytester: pytest.Pytester) -> None:
    pytester.makefile(".yml", topology=TOPOLOGY)
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.lab("topology.yml")
        def test_lldp_is_relayed(lab, expect):
            lab.guest("a").wire().send(bytes.fromhex("0180c200000e 02000000000a 88cc") + bytes(46))
            expect(lab.guest("b"), bytes.fromhex("88cc"), timeout=1.0)

        @pytest.mark.lab("topology.yml")
        def test_a_program_fails(lab):
            lab.guest("b").run("echo its last words >&2; exit 4")
        """
    )
    result = pytester.runpytest_subprocess("-rN")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines_random(
        [
            "E *AssertionError: no packet matched within 1 s: 88 cc, at b",
            "*- vswitch, switch s: ports -*",
            "a *tap *reserved_address 1*",
            "*- vswitch, switch s: last frames -*",
            "* a: 60 octets 0180c200000e02000000000a88cc*: reserved_address",
            "*- vswitch, guest a: what its commands said -*",
            "a speaks",
            "*INFO *vswitch.keeper:*port b is up",
            "E *in guest b: its last words",
        ]
    )


def test_a_topology_that_is_wrong_is_a_sentence(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.lab("guests: {a: {switch: nowhere}}")
        def test_it(lab): pass

        @pytest.mark.lab("not-there.yml")
        def test_other(lab): pass
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines_random(
        ["the lab of this test is wrong:", "*no switch 'nowhere'*", "cannot read *not-there.yml*"]
    )


def test_every_frame_since_the_lab_came_up_is_expected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from scapy.layers.inet import ICMP, IP
        from vswitch.lab import Guest, Link, Switch

        def test_it(lab, expect):
            a, b, c = Guest("a"), Guest("b"), Guest("c", switch="s", address="10.85.0.3/24")
            one, other = ({"node": name, "address": f"10.85.0.{n}/24"} for n, name in enumerate("ab", 1))
            lab.add(a, b, Link(one, other))
            assert a.ping(b)
            lab.add(Switch("s"), c, Link("s", "b:eth1"))
            c.run(["true"])
            expect(a, IP(dst="10.85.0.2") / ICMP(type="echo-request"), direction="in")
            expect(a.ports[0], ICMP(type="echo-reply"), direction="out")
            c.wire().send(b"\\xff" * 6 + b"\\2" * 6 + b"\\x88\\xb5" + bytes(46))
            expect("c", b"\\x88\\xb5", direction="in")
            expect(lab.link("s", "b").ports[0], b"\\x88\\xb5", direction="out")
            expect.none(a, b"\\x88\\xb5", within=0.1)
        """
    )
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)


def test_what_a_killed_run_left_goes_with_the_next(pytester: pytest.Pytester) -> None:
    pytester.makefile(".yml", topology=TOPOLOGY)
    pytester.makepyfile(
        test_killed="""
        import os, pathlib, pytest, time

        @pytest.mark.lab("topology.yml")
        def test_it(lab):
            pathlib.Path("killed").write_text(lab.name)
            time.sleep(600)
        """
    )
    pytester.makepyfile(test_next="def test_next(lab): pass")
    nowhere = subprocess.DEVNULL
    first = subprocess.Popen([sys.executable, "-m", "pytest", "test_killed.py"], stdout=nowhere, stderr=nowhere)
    mark = pytester.path / "killed"
    until(lambda: mark.exists() and mark.read_text(), "the lab")
    first.send_signal(signal.SIGKILL)
    first.wait()
    name = mark.read_text()
    assert left(name)
    pytester.runpytest_subprocess("test_next.py").assert_outcomes(passed=1)
    assert left(name) == []


@pytest.fixture
def public() -> Iterator[Path]:
    """A test with a lab in a folder that every user can read."""
    with tempfile.TemporaryDirectory(prefix="vswitch-test-") as folder:
        path = Path(folder)
        path.chmod(0o777)
        (path / "topology.yml").write_text(TOPOLOGY)
        (path / "test_it.py").write_text(PING.replace("pathlib.Path(f", "#"))
        yield path


def pytest_as_user(folder: Path, *options: str, forbidden: bool = False) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-rs",
        f"--rootdir={folder}",
        f"--basetemp={folder}/tmp",
        *options,
    ]
    prepare = chroot_into_nothing_else if forbidden else None
    return as_user(command=[*command, str(folder)], prepare=prepare)


@takes_root
def test_a_user_s_tests_are_skipped_with_a_sentence(public: Path) -> None:
    result = pytest_as_user(public)
    assert result.returncode == 0, result.stdout
    assert "4 skipped" in result.stdout
    assert (
        "a lab needs root: run pytest as root, or with --lab-rootless where user namespaces are allowed"
        in result.stdout
    )


@takes_root
def test_a_user_has_labs_in_a_user_namespace_side_by_side(public: Path) -> None:
    result = pytest_as_user(public, "--lab-rootless", "-n", "2")
    assert "4 passed" in result.stdout, result.stdout + result.stderr


@takes_root
def test_a_user_namespace_that_is_forbidden_is_a_sentence(public: Path) -> None:
    result = pytest_as_user(public, "--lab-rootless", forbidden=True)
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --lab-rootless: Being root in a namespace of one's own is not allowed here" in result.stderr
    assert "Traceback" not in result.stderr


def test_nothing_of_it_is_left(pytester: pytest.Pytester) -> None:
    """A test that fails in its lab, and one whose lab cannot come up, leave nothing either."""
    pytester.makepyfile(
        """
        import pathlib, pytest

        @pytest.mark.lab("{switches: {s: }, guests: {a: {switch: s, setup: 'exit 5'}}}")
        def test_it_cannot_come_up(lab): pass

        def test_it_fails(lab):
            from vswitch.lab import Guest, Switch
            a = Guest("a", switch="s")
            lab.add(Switch("s"), a)
            a.popen(["sleep", "1000"])
            pathlib.Path("name").write_text(lab.name)
            assert False
        """
    )
    before = set(NAMED.iterdir()) if NAMED.exists() else set()
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines_random(["*PortError: guest a: 'exit 5' ended with status 5: it said nothing"])
    name = (pytester.path / "name").read_text()
    assert left(name) == []
    mine = (
        {path.name for path in set(NAMED.iterdir()) - before if path.name.startswith("lab")}
        if NAMED.exists()
        else set()
    )
    assert not [path for path in mine if path.startswith(name.rpartition("x")[0])]
