"""The unit of configs/systemd leaves the switch all that it needs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.isolated import PREFIX
from tests.privileges import takes_root

ROOT = Path(__file__).parents[2]

SCRIPT = """
set -e
vswitch() { "$python" -m vswitch "$@"; }
python=$1
setpriv --bounding-set "$2" --inh-caps -all "$python" -m vswitch run configs/wire.yml & switch=$!
unshare --net sleep 1000 & container=$!
trap 'kill $switch $container; wait $switch' EXIT
for i in $(seq 300); do vswitch show ports >/dev/null 2>&1 && break; sleep 0.1; done
"$python" - <<END
from pyroute2 import IPRoute
with IPRoute() as route:
    route.link("add", ifname="here", kind="veth", peer="there")
END
vswitch port add existing --interface here
until [ "$(readlink /proc/$container/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
vswitch port add container --tap eth0 --netns pid:$container --address 10.0.0.9/24
vswitch port add machine --qemu /run/machine.sock
vswitch port add client --vde /run/vde
"""


@takes_root
@pytest.mark.program("setpriv", "unshare", "bash")
def test_the_capabilities_that_it_has_are_enough_for_every_attachment() -> None:
    unit = (ROOT / "configs/systemd/vswitch@.service").read_text()
    found = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)
    assert found is not None
    capabilities = ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in found[1].split())])
    result = subprocess.run(
        [*PREFIX, "bash", "-c", SCRIPT, "bash", sys.executable, capabilities],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
