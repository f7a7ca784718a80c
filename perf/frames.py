"""`python -m perf.frames`: small frames a second from one guest to another, and the switch's CPU time for each."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from statistics import median

from perf.measure import running, save
from vswitch.lab.guest import Guest

ROUNDS = 5
SECONDS = 3.0
FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)
ANSWER = bytes.fromhex("020000000001 020000000002 88b5") + bytes(46)


def main() -> None:
    """A generator that offers more than can be forwarded; what arrives is counted at the receiver's interface."""
    rates, costs = [], []
    ports = {name: {"tap": f"perf{name}", "netns": f"perf{name}"} for name in "ab"}
    for _ in range(ROUNDS):
        with running(ports) as started:
            rate, cost = measure(started.pid)
        rates.append(round(rate))
        costs.append(round(cost * 1e6, 2))
    save(
        "frames",
        {
            "64-byte frames/s": {"median": median(rates), "rounds": rates},
            "CPU us/frame": {"median": median(costs), "rounds": costs},
        },
    )


def measure(pid: int) -> tuple[float, float]:
    """Frames a second, and seconds of CPU time a frame."""
    stop = threading.Event()
    with Guest("perfa").wire("perfa") as a, Guest("perfb").wire("perfb") as b:
        b.send(ANSWER)

        def offer() -> None:
            while not stop.is_set():
                for _ in range(1000):
                    try:
                        a.send(FRAME)
                    except OSError:
                        continue  # the TAP's queue is full

        thread = threading.Thread(target=offer)
        thread.start()
        time.sleep(0.5)
        frames, used, began = arrived(), cpu(pid), time.perf_counter()
        time.sleep(SECONDS)
        count, spent, took = arrived() - frames, cpu(pid) - used, time.perf_counter() - began
        stop.set()
        thread.join()
    return count / took, spent / count


def arrived() -> int:
    """Frames that the receiver's interface has taken, by the kernel's own count."""
    from pyroute2 import IPRoute

    from vswitch.ports import netns

    namespace = netns.find("perfb")
    assert namespace is not None
    with netns.inside(namespace), IPRoute() as ipr:
        stats = ipr.get_links(ipr.link_lookup(ifname="perfb")[0])[0].get("stats64")
    namespace.close()
    return int(stats["rx_packets"])


def cpu(pid: int) -> float:
    """Seconds of CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
