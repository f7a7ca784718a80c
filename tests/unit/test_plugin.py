"""The pytest plugin where no network is needed: what it costs, its switch, and failures that explain themselves."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

pytest_plugins = ["pytester"]

A_STEPPED_FAILURE = """
def test_it_is_relayed(switch, expect):
    switch.send("a", bytes.fromhex("0180c200000e 02000000000a 88cc") + bytes(46))
    expect(switch.port("b"), bytes.fromhex("88cc"), timeout=0.5)
"""


def test_unused_it_imports_nothing_but_itself() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import vswitch.testing.plugin\n"
        "print(sorted(name for name in set(sys.modules) - before))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['vswitch', 'vswitch.testing', 'vswitch.testing.plugin']"


def test_a_failure_shows_ports_and_what_became_of_frames(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(A_STEPPED_FAILURE)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*AssertionError: no packet matched within 0.5 s: 88 cc, at b",
            "*nothing passed",
            "*- vswitch, switch at 0.5 s: ports -*",
            "a *reserved_address 1",
            "*- vswitch, switch at 0.5 s: last frames -*",
            "* a: 60 octets 0180c200000e02000000000a88cc*: reserved_address",
            "reserved_addresses *01:80:c2:00:00:0e*reserved_address",
        ]
    )


def test_a_port_may_be_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        def test_it(switch, expect):
            switch.send("a", b"\\xff" * 6 + b"\\2" * 6 + b"\\x88\\xb5" + bytes(46))
            expect("b", b"\\x88\\xb5")
            expect.none("a", b"\\x88\\xb5", direction="out")
            with pytest.raises(Exception, match="there is no port z; the ports are a, b, c"):
                expect("z", b"")

        def test_nowhere(expect):
            with pytest.raises(ValueError, match="'b' is a name, and there is neither a lab nor a switch"):
                expect("b", b"")
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=2)


def test_what_passes_shows_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("turn", [1, 2])
        def test_each_has_a_switch_of_its_own(switch, turn):
            switch.send("a", b"\\xff" * 6 + b"\\2" * 6 + bytes(48))
            assert len(switch.received("b")) == len(switch.fdb()) == 1
            switch.step(1.0)
        """
    )
    result = pytester.runpytest_subprocess("--strict-markers", "-W", "error")
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*vswitch*switch*")


def test_a_marker_that_is_wrong_is_a_sentence(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.switch("ports: {a: {acess: 10}}")
        def test_it(switch): pass
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["the switch of this test is wrong:", "ports.a.acess: unknown key; did you mean access?"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def test_it_can_be_left_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(switch): pass")
    pytester.runpytest_subprocess("-p", "no:vswitch").assert_outcomes(errors=1)
