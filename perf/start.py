"""`python -m perf.start`: seconds until a switch is ready, by its ports, and until `--help` has answered."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from perf.measure import running, save

ROUNDS = 7


def main() -> None:
    """One port, 64 TAPs, 64 TAPs each with a namespace and an address, in turn."""
    kinds = {
        "1 port": {"p0": {"tap": "perf0"}},
        "64 ports": {f"p{n}": {"tap": f"perf{n}"} for n in range(64)},
        "64 ports in 64 namespaces": {
            f"p{n}": {"tap": f"perf{n}", "netns": f"perf{n}", "address": f"10.0.0.{n + 1}/24"} for n in range(64)
        },
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in (*kinds, "vswitch --help")}
    for _ in range(ROUNDS):
        for kind, ports in kinds.items():
            with running(ports) as started:
                seconds[kind].append(round(started.seconds, 3))
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "vswitch", "--help"], check=True, capture_output=True)
        seconds["vswitch --help"].append(round(time.perf_counter() - began, 3))
    save("start", {kind: {"seconds": median(values), "rounds": values} for kind, values in seconds.items()})


if __name__ == "__main__":
    main()
