"""`python -m perf impair`: whether impairments do what they are told, and what they cost those who have none.

Everything is between guests in namespaces, on cores that others may use at the same time: each figure is of several
rounds, and a line says how busy the machine was. With the word `realtime` the switch and the generator go before other
programs, so that the time that these take is not counted as the switch's.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from statistics import mean, median, quantiles
from threading import Thread
from typing import TYPE_CHECKING, Any

from perf.benches import Running
from perf.contenders import CONTENDERS
from perf.lab import Lab, remove_tools
from vswitch.control.client import Client
from vswitch.control.config.presets import PRESETS
from vswitch.ports import netns

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 3
DELAY = 0.01
HELD = 100_000
_TYPE = b"\x88\xb5"
_TIMESTAMP = struct.Struct("d")
SO_RCVBUFFORCE = 33


def main(names: list[str]) -> None:
    """Measure what is named, or all, and print it."""
    parts = {"delay": delays, "tcp": tcp_over_delay, "rate": rates, "others": others, "presets": presets}
    realtime = "realtime" in names
    names = [name for name in names if name != "realtime"]
    unknown = [name for name in names if name not in parts]
    if unknown:
        sys.exit(f"there is no {unknown[0]}; measure {', '.join(parts)}")
    print(f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    if realtime:
        prefer(os.getpid())
    try:
        for name in names or parts:
            for line in parts[name]():
                print(f"{name:8} {line}", flush=True)
    finally:
        remove_tools()


def prefer(pid: int) -> None:
    """Have a process go before all that are not preferred."""
    os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))


class Impaired:
    """A switch with four guests, and a client of it."""

    def __init__(self, lab: Lab) -> None:
        """Start it."""
        self.lab = lab
        self.running = Running(lab, CONTENDERS["native"], 2.0, {})
        self.client = Client(lab.folder / "perf.sock")
        if os.sched_getscheduler(0) == os.SCHED_RR:
            for pid in self.running.pids:
                prefer(pid)

    def set(self, port: str, direction: str, **options: Any) -> None:
        """Impair a port."""
        self.client.call("PUT", f"ports/{port}/impair", options, direction=direction)

    def clear(self, port: str) -> None:
        """No more."""
        self.client.call("DELETE", f"ports/{port}/impair")

    def iperf(self, seconds: float, *options: str) -> dict[str, Any]:
        """From the first guest to the second."""
        self.running.seconds = seconds
        return self.running.iperf(*options)


def delays() -> Iterator[str]:
    """The error of a delay of 10 ms, frame by frame at 1,000 frames a second."""
    with Lab(4) as lab:
        switch = Impaired(lab)
        switch.set("p1", "out", delay=DELAY)
        rounds = []
        for _ in range(ROUNDS):
            errors = [delay - DELAY for delay in one_way(lab, 5000, 0.001)]
            cuts = quantiles(errors, n=100)
            rounds.append((mean(errors), cuts[98], max(errors)))
            yield f"error: mean {mean(errors) * 1e3:.3f} ms, p50 {cuts[49] * 1e3:.3f}, p99 {cuts[98] * 1e3:.3f} ms"
        mean_, p99 = (median(each[number] for each in rounds) * 1e3 for number in (0, 1))
        yield f"medians: mean {mean_:.3f} ms (goal 0.3), p99 {p99:.3f} ms (goal 1)"
        switch.clear("p1")
        bare = list(one_way(lab, 2000, 0.001))
        p99 = quantiles(bare, n=100)[98] * 1e3
        yield f"without impairment the same frames take {median(bare) * 1e3:.3f} ms, p99 {p99:.3f} ms"


def one_way(lab: Lab, count: int, gap: float) -> list[float]:
    """Seconds that numbered frames take from the first guest to the second, by the kernel's own clock."""
    delays: list[float] = []
    with packet_socket(lab, 0) as sender, packet_socket(lab, 1) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)

        def listen() -> None:
            while len(delays) < count:
                try:
                    frame, ancillary, _, _ = receiver.recvmsg(2048, 64)
                except TimeoutError:
                    return
                if frame[12:14] == _TYPE:
                    seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                    delays.append(seconds + nanoseconds / 1e9 - _TIMESTAMP.unpack_from(frame, 14)[0])

        listener = Thread(target=listen)
        listener.start()
        addresses = mac(lab, 1) + mac(lab, 0)
        begin = time.perf_counter()
        for number in range(count):
            while time.perf_counter() < begin + number * gap:
                time.sleep(gap / 10)
            sender.send(addresses + _TYPE + _TIMESTAMP.pack(time.time()) + bytes(38))
        listener.join()
    return delays


def packet_socket(lab: Lab, number: int) -> socket.socket:
    """On a guest's interface."""
    with netns.inside(lab._spaces[lab.space(number)]):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        raw.bind((f"p{number}", 0))
    raw.settimeout(3)
    return raw


def mac(lab: Lab, number: int) -> bytes:
    """A guest's address."""
    with lab.inside(lab.space(number)) as ipr:
        return bytes.fromhex(ipr.get_links(ifname=f"p{number}")[0].get("address").replace(":", ""))


def tcp_over_delay() -> Iterator[str]:
    """One TCP stream over 10 ms, beside what its window allows."""
    with Lab(4) as lab:
        switch = Impaired(lab)
        switch.set("p1", "out", delay=DELAY)
        for window in (1 << 20, 4 << 20):
            shares = []
            for _ in range(ROUNDS):
                end = switch.iperf(4, "-w", str(window // 2), "-O", "1")
                rate, sender = end["sum_received"]["bits_per_second"], end["streams"][0]["sender"]
                most, rtt = min(sender["max_snd_cwnd"], sender["max_snd_wnd"]), sender["mean_rtt"] / 1e6
                shares.append(rate * rtt / (most * 8))
                yield (
                    f"buffers of {window >> 20} MiB: {rate / 1e6:.0f} Mbit/s, RTT {rtt * 1e3:.1f} ms, "
                    f"{shares[-1]:.2f} of what its largest window, {most >> 10} KiB, allows"
                )
            yield f"median {median(shares):.2f} (goal 0.5)"


def rates() -> Iterator[str]:
    """A rate over 5 s, counted at the guest's interface in octets, for TCP with superframes."""
    with Lab(4) as lab:
        switch = Impaired(lab)
        for rate in (5_000_000, 50_000_000, 500_000_000):
            switch.set("p1", "out", rate=rate)
            errors = [octets_per_second(switch, 5.0) * 8 / rate - 1 for _ in range(ROUNDS)]
            yield f"{rate // 1_000_000} Mbit/s: {', '.join(f'{error:+.2%}' for error in errors)} (goal 2 %)"


def octets_per_second(switch: Impaired, seconds: float) -> float:
    """That the switch hands to the second guest, by its own count, while a TCP stream goes there."""
    load = Thread(target=switch.iperf, args=(seconds + 2,))
    load.start()
    time.sleep(1.5)
    before, begin = transmitted(switch), time.perf_counter()
    time.sleep(seconds)
    after, took = transmitted(switch), time.perf_counter() - begin
    load.join()
    return (after - before) / took


def transmitted(switch: Impaired) -> int:
    """Octets that left by p1."""
    return int(switch.client.call("GET", "ports/p1")["transmit"]["bytes"])


def others() -> Iterator[str]:
    """The round trip and the rate of a pair without impairment, while another port holds frames, beside without."""
    with Lab(4) as lab:
        switch = Impaired(lab)
        rtt, rate = [], []
        for _ in range(ROUNDS):
            switch.clear("p3")
            before = pair(switch)
            switch.set("p3", "out", delay=60, limit=256 << 20)
            fill(lab)
            held = switch.client.call("GET", "ports/p3/impair")["directions"]["out"]["achieved"]
            during = pair(switch)
            rtt.append(during[0] / before[0])
            rate.append(during[1] / before[1])
            memory = held["held_bytes"] >> 20
            yield f"{held['held']} frames held in {memory} MiB: RTT x{rtt[-1]:.3f}, 64-byte rate x{rate[-1]:.3f}"
        yield f"medians: RTT x{median(rtt):.3f}, rate x{median(rate):.3f} (goal 1 within noise)"


def fill(lab: Lab) -> None:
    """Send HELD frames to the impaired port."""
    with packet_socket(lab, 2) as sender:
        frame = mac(lab, 3) + mac(lab, 2) + _TYPE + bytes(46)
        for number in range(HELD):
            sender.send(frame)
            if number % 50 == 0:
                time.sleep(0.003)
    time.sleep(0.5)


def pair(switch: Impaired) -> tuple[float, float]:
    """Microseconds of a round trip between the first two guests, and thousands of small frames a second."""
    switch.running.seconds = 1.5
    rtt = switch.running.rtt(0, 5000)["p50"]
    return rtt, switch.running.traffic(60, "pair")[1] / 1e3


def presets() -> Iterator[str]:
    """What ping and a TCP stream see under each preset, at the guest that has it."""
    with Lab(2) as lab:
        switch = Impaired(lab)
        for name in PRESETS:
            switch.set("p0", "both", preset=name)
            told = lab.run(["ping", "-q", "-c", "30", "-i", "0.1", lab.address(1)], space=lab.space(0))
            lost, times = told.split("% packet loss")[0].split()[-1], told.split(" = ")[-1].split("/")
            up = switch.iperf(8, "-O", "2")["sum_received"]["bits_per_second"] / 1e6
            down = switch.iperf(8, "-O", "2", "-R")["sum_received"]["bits_per_second"] / 1e6
            yield f"| `{name}` | {float(times[1]):.0f} ms | {lost} % | {down:.2f} | {up:.2f} |"
            switch.clear("p0")
