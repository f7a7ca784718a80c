"""Programs that others trust, between real guests: iperf3, ping and tshark."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.netns.test_forwarding import transfer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.netns.conftest import Lab
    from tests.running import Running

SECONDS = "3"


def inside(lab: Lab, port: str, *command: str, timeout: float = 60) -> str:
    """What a command prints that runs in a guest's namespace."""
    result = subprocess.run(
        ["ip", "netns", "exec", lab.name(port), *command], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def iperf3(lab: Lab, client: str, server: str, address: str, *options: str) -> Any:
    """The report of one run between two guests."""
    with subprocess.Popen(
        ["ip", "netns", "exec", lab.name(server), "iperf3", "-s", "-1", "-B", address, "--forceflush"],
        stdout=subprocess.PIPE, text=True,
    ) as listening:  # fmt: skip
        assert listening.stdout is not None
        try:
            while "listening" not in listening.stdout.readline():
                assert listening.poll() is None
            return json.loads(inside(lab, client, "iperf3", "-c", address, "-t", SECONDS, "-J", *options))["end"]
        finally:
            listening.terminate()


@pytest.mark.program("ip", "iperf3")
@pytest.mark.parametrize("address", ["10.88.0.2", "fd88::2"])
def test_iperf3_tcp_both_ways(lab: Lab, three: Callable[..., Running], address: str) -> None:
    running = three()
    for options in ([], ["-R"], ["-P", "4"]):
        end = iperf3(lab, "a", "b", address, *options)
        assert end["sum_received"]["bytes"] > 100_000_000 or end["sum_received"]["bits_per_second"] > 10_000_000
    lost = {reason for port in "ab" for reason in running.dropped(port)}
    assert lost <= {"no_egress"}, "only what the first guest said before there was a second one"


@pytest.mark.program("ip", "iperf3")
@pytest.mark.parametrize("address", ["10.88.0.2", "fd88::2"])
def test_iperf3_udp_loses_nothing_and_keeps_order(lab: Lab, three: Callable[..., Running], address: str) -> None:
    three()
    end = iperf3(lab, "a", "b", address, "-u", "-b", "20M", "--get-server-output")
    assert end["sum"]["packets"] > 1000
    assert (end["sum"]["lost_packets"], end["sum"].get("out_of_order", 0)) == (0, 0)


@pytest.mark.program("ip", "ping")
def test_ping_of_every_size(lab: Lab, three: Callable[..., Running]) -> None:
    three(ageing=10)
    for size in ("0", "56", "1472", "4000", "65000"):
        assert " 0% packet loss" in inside(lab, "a", "ping", "-c", "3", "-i", "0.05", "-s", size, "10.88.0.2")
    assert " 0% packet loss" in inside(lab, "a", "ping", "-c", "3", "-i", "0.05", "-M", "do", "-s", "1452", "fd88::2")


@pytest.mark.program("ip", "tshark")
def test_tshark_finds_nothing_wrong_with_what_a_port_without_offload_gets(lab: Lab) -> None:
    lab.start(
        {
            "a": {"address": "10.88.0.1/24"},
            "b": {"address": "10.88.0.2/24", "offload": False},
        }
    )
    capture = lab.folder / "b.pcapng"
    record = ["tshark", "-q", "-i", lab.name("b"), "-w", str(capture), "-f", "dst host 10.88.0.2 and tcp", "-c", "500"]
    with subprocess.Popen(["ip", "netns", "exec", lab.name("b"), *record], stderr=subprocess.DEVNULL) as tshark:
        while tshark.poll() is None:  # it ends by itself once it has seen enough
            transfer(lab.guest("a"), lab.guest("b"), "10.88.0.2", bytes(500_000))
    checks = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]
    to_b = "ip.dst == 10.88.0.2"
    wrong = f"{to_b} && (ip.checksum.status == 0 || tcp.checksum.status == 0 || frame.len > 1514)"
    for what, count in ((wrong, range(1)), (f"{to_b} && tcp.len > 0", range(100, 1 << 20))):
        read = subprocess.run(
            ["tshark", "-r", str(capture), *checks, "-Y", what, "-T", "fields", "-e", "frame.number"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert len(read.stdout.split()) in count
