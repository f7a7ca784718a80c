"""Every example of configs/ runs as it is."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.isolated import PREFIX
from tests.running import VSWITCH, vswitch

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path for path in (ROOT / "configs").glob("*.yml") if not path.name.startswith("lab-"))

PING_ALL = """
import sys, yaml
from itertools import permutations
from vswitch.lab.guest import Guest
ports = yaml.safe_load(open(sys.argv[1]))["ports"].values()
at = [(p["netns"], str(p.get("access")), a) for p in ports
      for a in ([p["address"]] if isinstance(p.get("address"), str) else p.get("address", []))]
for (one, vlan, _), (other, its_vlan, address) in permutations(at, 2):
    if one != other and vlan == its_vlan:
        assert Guest(one).ping(address.split("/")[0]) is not None, (one, address)
        print(one, address)
"""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_and_its_guests_reach_each_other(example: Path) -> None:
    script = (
        'python=$1; example=$2; $python -m vswitch run "$example" & switch=$!\n'
        "for i in $(seq 300); do $python -m vswitch show ports >/dev/null 2>&1 && break; sleep 0.1; done\n"
        '$python -c "$3" "$example"; status=$?\n'
        "kill $switch; wait $switch || exit 3\n"
        'test -z "$(ls -A /run)" || test "$(ls -A /run/netns)" = \'\' || exit 4\n'
        "exit $status\n"
    )
    result = subprocess.run(
        [*PREFIX, "sh", "-c", script, "sh", sys.executable, str(example), PING_ALL],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    guests = [port for port in yaml.safe_load(example.read_text())["ports"].values() if "address" in port]
    assert len(result.stdout.splitlines()) >= len(guests)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_right(example: Path) -> None:
    result = vswitch("check", str(example))
    assert (result.returncode, result.stderr) == (0, "")


def test_a_demo_runs_from_end_to_end_and_ends_by_itself() -> None:
    result = subprocess.run(
        [*PREFIX, *VSWITCH, "demo"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Gbit/s" in result.stdout
    assert "reserved_address 1" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_a_demo_that_stays_goes_at_control_c() -> None:
    with subprocess.Popen(
        [*PREFIX, *VSWITCH, "demo", "--keep"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as demo:  # fmt: skip
        assert demo.stdout is not None
        for line in demo.stdout:
            if "ip netns exec" in line:
                break
        demo.send_signal(signal.SIGINT)
        rest, complaints = demo.communicate(timeout=60)
    assert demo.returncode == 0, complaints
    assert "Traceback" not in rest + complaints
