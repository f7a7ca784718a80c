"""What is measured. A bench is a function of a running switch that gives figures; each names those who take part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from perf.lab import CORES, GUESTS_CORE, Lab, cpu, memory, needs, tool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from perf.contenders import Contender

Figures = dict[str, float]

EVERYBODY = ("native", "python", "asyncio", "no-poll", "veth", "c", "c-bare", "vde", "ovs", "ovs-tso", "bridge")
OURS = ("native", "python")
MESHES = (2, 4, 8, 16, 32, 64)
TABLES = (10, 1000, 100_000, 1_000_000)
CAPACITIES = (1_000, 8_000, 16_000, 32_000, 64_000, 128_000)
ROOMY = MappingProxyType({"fdb": {"limit": 1_100_000}, "ageing": "1h"})
CAPTURES: dict[str, tuple[str, ...] | None] = {
    "off": None, "other port": ("p3",), "drops": ("--drops",), "captured": ("p0", "p1"),
}  # fmt: skip
FLOODED = 0.01  # share of frames to known stations that may flood


class Running:
    """A switch between the guests of a lab."""

    def __init__(self, lab: Lab, contender: Contender, seconds: float, top: Mapping[str, Any]) -> None:
        """Start it. seconds: how long a figure is taken."""
        self.lab = lab
        self.seconds = seconds
        began = time.perf_counter()
        self.pids = contender.start(lab, **top)
        self.started = time.perf_counter() - began
        self.where = [lab.where(number) for number in range(lab.count)]
        self.announce()

    def announce(self, further: int = 0) -> None:
        """Let every station be heard, and further ones behind the last port."""
        self.lab.run([tool("traffic"), "0", "60", "0", "announce", str(further), *self.where])

    def traffic(self, octets: int, kind: str, *, count: int = 0, rate: int = 0, pause: float = 0.3) -> list[int]:
        """Send for the time of a figure; the frames that each guest took in per second, begun after a pause."""
        arguments = [str(self.seconds + pause + 0.3), str(octets), str(rate), kind, str(count)]
        generator = self.lab.spawn([tool("traffic"), *arguments, *self.where], core=GUESTS_CORE)
        time.sleep(pause)
        before, used, began = self._received(), cpu(self.pids), time.perf_counter()
        time.sleep(self.seconds)
        after, self.used, took = self._received(), cpu(self.pids) - used, time.perf_counter() - began
        generator.wait()
        self.frames = [now - then for now, then in zip(after, before, strict=True)]
        return [round(count / took) for count in self.frames]

    def cost(self, frames: int) -> Figures:
        """Microseconds of the switch's CPU time for each of these frames."""
        return {"cpu": round(self.used / frames * 1e6, 3)} if self.pids and frames else {}

    def _received(self) -> list[int]:
        return [self.lab.received(number) for number in range(self.lab.count)]

    def iperf(self, *options: str) -> dict[str, Any]:
        """What iperf3 between the first two guests has to say."""
        program = needs("iperf3", "iperf3")
        cores = ",".join(map(str, CORES))
        server = self.lab.spawn([program, "-s", "-1"], core=cores, space=self.lab.space(1))
        time.sleep(0.2)
        seconds = str(max(1, round(self.seconds)))  # it knows whole ones, and 0 as for ever
        call = [program, "-c", self.lab.address(1), "-t", seconds, "-J", *options]
        end: dict[str, Any] = json.loads(self.lab.run(call, core=cores, space=self.lab.space(0)))["end"]
        server.wait()
        return end

    def rtt(self, gap: int, count: int) -> Figures:
        """Microseconds of a round trip: half of them are faster than p50, 99 of 100 faster than p99."""
        asked = [tool("rtt"), self.lab.space(0), self.lab.address(1), str(count), str(gap)]
        told = json.loads(self.lab.run(asked))
        return {"p50": told["p50"], "p99": told["p99"]}


class Bench(NamedTuple):
    """One bench. top: what the switch's configuration needs beside ports."""

    name: str
    what: str
    ports: int
    contenders: tuple[str, ...]
    run: Callable[[Running], Figures]
    top: Mapping[str, Any] = MappingProxyType({})


def forward(octets: int) -> Callable[[Running], Figures]:
    """Frames of one size from one guest to another: thousands a second, CPU time for each."""

    def run(running: Running) -> Figures:
        rates = running.traffic(octets - 4, "pair")  # on the wire an FCS of four octets ends a frame
        return {"kframes": round(rates[1] / 1e3, 1), **running.cost(running.frames[1])}

    return run


def tcp(streams: int) -> Callable[[Running], Figures]:
    """Gbit/s of TCP."""

    def run(running: Running) -> Figures:
        received = running.iperf("-P", str(streams), "-O", "1")["sum_received"]
        return {"gbit": round(received["bits_per_second"] / 1e9, 2)}

    return run


def udp(running: Running) -> Figures:
    """Mbit/s of UDP in datagrams of 1400 octets that arrive, as many sent as go."""
    end = running.iperf("-u", "-b", "0", "-l", "1400")["sum"]
    return {"mbit": round(end["bits_per_second"] / 1e6 * (1 - end["lost_percent"] / 100)), "lost": end["lost_percent"]}


def rtt_idle(running: Running) -> Figures:
    """One question after the other, nothing else on the wire."""
    return running.rtt(0, round(5000 * running.seconds))


def rtt_spaced(running: Running) -> Figures:
    """One question each millisecond: the switch has gone to sleep."""
    return running.rtt(1000, round(400 * running.seconds))


def rtt_loaded(running: Running) -> Figures:
    """While two other guests exchange 50,000 small frames a second."""
    others = [running.lab.where(number) for number in (2, 3)]
    arguments = [str(running.seconds + 2), "60", "50000", "pair", "0"]
    load = running.lab.spawn([tool("traffic"), *arguments, *others], core=GUESTS_CORE)
    time.sleep(0.2)
    figures = running.rtt(0, round(2000 * running.seconds))
    load.terminate()
    load.wait()
    return figures


PAIR = (
    ("64 B", forward(64)), ("512 B", forward(512)), ("1518 B", forward(1518)), ("TCP", tcp(1)), ("TCP x4", tcp(4)),
    ("UDP", udp), ("RTT", rtt_idle), ("RTT 1/ms", rtt_spaced), ("RTT loaded", rtt_loaded),
)  # fmt: skip


def pair(running: Running) -> Figures:
    """Everything that two guests can tell of a switch."""
    figures: Figures = {}
    for name, bench in PAIR:
        figures |= {f"{name} {figure}": value for figure, value in bench(running).items()}
    return figures


def mesh(running: Running) -> Figures:
    """64-byte frames from everybody to everybody, in the manner of RFC 2889 clause 5.1."""
    rates = running.traffic(60, "mesh")
    return {"kframes": round(sum(rates) / 1e3, 1), **running.cost(sum(running.frames))}


def table(stations: int) -> Callable[[Running], Figures]:
    """A fixed pair of guests while so many stations are known, and then frames to each of those in turn."""

    def run(running: Running) -> Figures:
        running.announce(stations - running.lab.count)
        rates = running.traffic(60, "pair")
        figures = {"kframes": round(rates[1] / 1e3, 1), **running.cost(running.frames[1])}
        running.traffic(60, "destinations", count=stations - running.lab.count)
        figures |= {f"each {name}": value for name, value in running.cost(running.frames[-1]).items()}
        return figures | {"MiB": round(memory(running.pids), 1)}

    return run


def learning(running: Running) -> Figures:
    """Frames that each have a new source: thousands a second that arrive (RFC 2889 clause 5.8)."""
    rates = running.traffic(60, "sources", count=0xFFFFFF, pause=0.0)
    return {"kaddresses": round(rates[1] / 1e3, 1), **running.cost(running.frames[1])}


def capacity(running: Running) -> Figures:
    """How many addresses are known before frames to known ones flood (RFC 2889 clause 5.7), of those tried."""
    held = 0
    for stations in CAPACITIES:
        running.announce(stations)
        running.traffic(60, "destinations", count=stations, rate=200_000)
        if running.frames[2] > FLOODED * max(1, running.frames[-1]):
            break
        held = stations
    return {"addresses": held}


def congestion(running: Running) -> Figures:
    """What becomes of 20,000 frames a second between two guests while a third pours all it can at one that takes none.

    The share of them that arrives, and the median round trip (RFC 2889 clause 5.5, head of line blocking).
    """
    others = [running.lab.where(number) for number in (2, 3)]
    with running.lab.inside(running.lab.space(3)) as ipr:
        ipr.link("set", ifname="p3", state="down")
    arguments = [str(running.seconds + 2), "60", "0", "pair", "0"]
    load = running.lab.spawn([tool("traffic"), *arguments, *others], core=GUESTS_CORE)
    rates = running.traffic(60, "pair", rate=20_000)
    figures = {"share": round(min(1.0, rates[1] / 20_000), 4), "p50": running.rtt(0, 1000)["p50"]}
    load.terminate()
    load.wait()
    return figures


def captures(running: Running) -> Figures:
    """Frames from one guest to another while nobody looks, while captures of other things run, and while captured."""
    figures: Figures = {}
    for name, words in CAPTURES.items():
        control, readers = str(running.lab.folder / "perf.sock"), []
        if words is not None:
            call = [sys.executable, "-m", "vswitch", "--control", control, "capture", *words, "-w", os.devnull]
            readers.append(running.lab.spawn(call, core=GUESTS_CORE))
            time.sleep(2.0)
        rates = running.traffic(60, "pair", pause=0.5)
        figures |= {f"{name} kframes": round(rates[1] / 1e3, 1)}
        figures |= {f"{name} {figure}": value for figure, value in running.cost(running.frames[1]).items()}
        for reader in readers:
            reader.terminate()
            reader.wait()
    return figures


def start(running: Running) -> Figures:
    """Seconds until it runs; then what it holds in memory; then its CPU time while nothing is to do, a second."""
    used = cpu(running.pids)
    time.sleep(running.seconds)
    idle = (cpu(running.pids) - used) / running.seconds
    return {"seconds": round(running.started, 3), "MiB": round(memory(running.pids), 1), "idle us": round(idle * 1e6)}


BENCHES: dict[str, Bench] = {
    bench.name: bench
    for bench in (
        Bench("pair", "two guests: frames, TCP, UDP, round trips", 4, EVERYBODY, pair),
        *(
            Bench(f"mesh-{ports}", f"{ports} ports, everybody to everybody", ports, (*OURS, "c", "vde", "bridge"), mesh)
            for ports in MESHES
        ),
        *(Bench(f"table-{number}", f"{number:,} stations known", 4, OURS, table(number), ROOMY) for number in TABLES),
        Bench("learning", "frames from ever new addresses", 4, (*OURS, "c", "vde", "ovs", "bridge"), learning),
        Bench("capacity", "addresses held", 4, ("native", "vde", "ovs", "bridge"), capacity),
        Bench("congestion", "one port congested, another idle", 4, (*OURS, "c", "vde", "ovs", "bridge"), congestion),
        Bench("capture", "frames with and without captures", 4, OURS, captures),
        Bench("start-2", "start-up, memory and idling with 2 ports", 2, (*OURS, "no-poll"), start),
        Bench("start-64", "the same with 64 ports", 64, (*OURS, "no-poll"), start),
    )
}


def take(bench: Bench, contender: Contender, seconds: float) -> Figures:
    """The figures of one contender, once. Raises MissingError, CalledProcessError or OSError."""
    with Lab(bench.ports) as lab:
        return bench.run(Running(lab, contender, seconds, bench.top))


Failure = (subprocess.SubprocessError, OSError, KeyError, ValueError)
"""What a contender that fails a bench may raise; the others go on."""
