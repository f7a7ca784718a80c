"""Labs of several switches: up, changed and down, with real guests and real traffic."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.labs import ETC, NAMED, RunningLab
from tests.running import VSWITCH, listen, receive, unique, until, vswitch
from vswitch.lab import capture
from vswitch.lab.guest import stream
from vswitch.ports import netns

FOREIGN = Path(__file__).parents[1] / "data/foreign"

CHAIN = """\
switches: {s1: , s2: , s3: }
guests:
  a: {switch: s1, address: [10.86.0.1/24, "fd86::1/64"]}
  b: {switch: s3, address: [10.86.0.2/24, "fd86::2/64"]}
  c: {switch: s2, address: 10.86.0.3/24}
links: [[s1, s2], [s2, s3]]
"""

TWO = """\
switches: {s: }
guests:
  a: {switch: s, address: 10.86.0.1/24}
  b: {switch: s, address: 10.86.0.2/24}
"""


def lives(pid: int) -> bool:
    """Whether a process runs: one that nobody waited for is still there, but does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_guests_of_three_switches_reach_each_other_and_superframes_pass_whole(tmp_path: Path) -> None:
    with RunningLab(tmp_path, CHAIN) as lab:
        for address in ("10.86.0.2", "fd86::2", "10.86.0.3"):
            assert lab.guest("a").ping(address) is not None
        with capture("s1", switch=f"{lab.name}-s2") as seen:
            assert stream(lab.guest("a"), lab.guest("b"), "10.86.0.2", 0.5) > 0
            until(lambda: seen.packets, "frames in the middle")
        assert max(len(packet.data) for packet in seen.packets) > 3000, "a segment and more in one frame"
        rows = lab.status()["switches"]
        assert [(row["switch"], row["up"], row["ports"]) for row in rows] == [("s1", 2, 2), ("s2", 3, 3), ("s3", 2, 2)]


def test_ping_from_everyone_to_everyone(tmp_path: Path) -> None:
    with RunningLab(tmp_path, CHAIN) as lab:
        result = lab.lab("ping", "--lab", lab.name, "--json")
        answer = json.loads(result.stdout)
        assert (result.returncode, answer["pairs"], answer["answered"], answer["lost"]) == (0, 8, 8, [])
        lab.execute("b", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all")
        result = lab.lab("ping", "--lab", lab.name, "--timeout", "0.5", "a", "b")
        assert result.returncode == 1
        assert result.stdout.startswith("a → b (10.86.0.2): no answer\n3 of 4 pings answered in ")
        assert lab.lab("ping", "--lab", lab.name, "nobody").returncode == 1


def test_exec_is_in_the_guest_with_its_names_and_passes_the_status_on(tmp_path: Path) -> None:
    with RunningLab(tmp_path, TWO + "  x: {switch: s, environment: {COLOUR: blue, N: 5}}\n") as lab:
        result = lab.execute("x", "sh", "-c", "echo $COLOUR$N; hostname; exit 7")
        assert (result.returncode, result.stdout) == (7, "blue5\nx\n")
        hosts = lab.execute("a", "getent", "hosts", "b").stdout.split()
        assert hosts == ["10.86.0.2", "b"]
        assert lab.execute("a", "ls", "/sys/class/net").stdout.split()[0] == "eth0"
        assert "10.86.0.2 b" not in Path("/etc/hosts").read_text()
        assert (ETC / f"{lab.name}-a" / "hosts").read_text().count(" b\n") == 1
        assert lab.execute("a", "no-such-program").returncode == 127
        by_file = lab.lab("exec", str(lab.file), "x", "--", "sh", "-c", "hostname; exit 5")
        assert (by_file.returncode, by_file.stdout) == (5, "x\n")
        assert lab.lab("exec", str(lab.file), "x").returncode == 2
        assert lab.lab("ping", str(lab.file), "a", "b").stdout.startswith("2 of 2 pings")
        wrong = lab.execute("z", "true")
        assert (wrong.returncode, wrong.stderr) == (
            2, f"vswitch: there is no guest z in {lab.name}; the guests are a, b, x\n"
        )  # fmt: skip


def test_settings_routes_and_commands(tmp_path: Path) -> None:
    topology = """\
switches: {left: , right: }
guests:
  a: {switch: left, address: 10.86.1.1/24, routes: {default: 10.86.1.9}}
  b: {switch: right, address: 10.86.2.1/24, routes: {10.86.1.0/24: 10.86.2.9, 10.99.0.0/16: eth0}}
  r:
    sysctls: {net.ipv4.ip_forward: 1, net.ipv4.conf.eth0.rp_filter: 0}
    environment: {WORD: hello}
    setup: [echo first $WORD, echo second]
    run: ["echo third; sleep 1000", sleep 1001]
links:
  - [{node: r, address: 10.86.1.9/24}, left]
  - [{node: r, address: 10.86.2.9/24}, right]
"""
    with RunningLab(tmp_path, topology) as lab:
        assert lab.guest("a").ping("10.86.2.1") is not None
        row = lab.row("r")
        assert len(row["processes"]) == 2
        until(lambda: "third" in Path(row["log"]).read_text(), "the command to speak")
        assert Path(row["log"]).read_text().split() == ["first", "hello", "second", "third"]
        os.kill(row["processes"][1], signal.SIGKILL)
        until(lambda: len(lab.row("r")["processes"]) == 1, "the end of a command to be noticed")


def test_a_command_that_fails_is_shown(tmp_path: Path) -> None:
    with RunningLab(tmp_path, TWO + "  c: {switch: s, run: [exit 3, sleep 1000, 'true']}\n") as lab:
        until(lambda: lab.row("c")["failed"], "the end of a command to be noticed")
        assert lab.row("c")["failed"] == [{"command": "exit 3", "status": 3}]
        assert lab.row("a")["failed"] == []
        until(lambda: " 1, 1 failed " in lab.lab("status", lab.name).stdout, "the command that succeeds to end")


def test_a_wire_passes_what_a_switch_does_not(tmp_path: Path) -> None:
    lldp = bytes.fromhex("0180c200000e 02000000000a 88cc 0207040200000000000a") + bytes(46)
    with RunningLab(tmp_path, TWO + "links: [[a, b]]\n") as lab:
        wires = {name: listen(lab.guest("b"), name) for name in ("eth0", "eth1")}
        for interface, count in (("eth0", 0), ("eth1", 1)):
            with lab.guest("a").wire(interface) as out:
                out.send(lldp)
            assert len(receive(wires[interface], 1, ethertype=0x88CC)) == count
        for wire in wires.values():
            wire.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0_and_nothing_left(tmp_path: Path, number: int) -> None:
    topology = CHAIN.replace("10.86.0.3/24", "10.86.0.3/24, run: sleep 1000")
    with RunningLab(tmp_path, topology) as lab:
        daemon = lab.execute("a", "sh", "-c", f"setsid sh -c 'sleep 1000; : {lab.name}' >/dev/null 2>&1 & exit 0")
        assert daemon.returncode == 0
        assert len(lab.left()) > 10
        assert lab.stop(number) == 0
        assert [line for line in lab.left() if "lab up" not in line] == []


def test_after_kill_9_up_begins_anew_and_down_clears_up(tmp_path: Path) -> None:
    topology = TWO.replace("10.86.0.2/24", f"10.86.0.2/24, run: 'sleep 1000; : {tmp_path.name}'")
    with RunningLab(tmp_path, topology) as lab:
        old = lab.row("b")["processes"][0]
        lab.execute("a", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        lab.stop(signal.SIGKILL)
        assert (NAMED / f"{lab.name}-a").exists()
        lab.start()
        assert not lives(old)
        assert lab.execute("a", "cat", "/proc/sys/net/ipv4/ip_forward").stdout == "0\n"
        assert lab.guest("a").ping("10.86.0.2") is not None
        lab.stop(signal.SIGKILL)
        assert lab.lab("down", lab.name).stdout == f"{lab.name}: cleared up what was left\n"
        assert lab.left() == []
        assert lab.lab("down", lab.name).stdout == f"{lab.name} does not run, and nothing of it is left\n"


def test_up_in_the_background_and_down(tmp_path: Path) -> None:
    lab = RunningLab(tmp_path, TWO)
    try:
        result = vswitch("lab", "up", "--detach", str(lab.file))
        assert (result.returncode, " is up: 2 guests, 1 switch, 2 links; " in result.stderr) == (0, True)
        again = vswitch("lab", "up", "-d", str(lab.file))
        assert (again.returncode, "runs already" in again.stderr) == (1, True)
        second = vswitch("lab", "up", str(lab.file))
        assert (second.returncode, "runs already" in second.stderr) == (1, True)
        assert lab.guest("a").ping("10.86.0.2") is not None
    finally:
        assert vswitch("lab", "down", str(lab.file)).stdout == f"{lab.name} is down\n"
    until(lambda: not lab.left(), "everything to be gone")


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ("  c: {switch: s, setup: 'echo no luck; exit 3'}\n", "guest c: 'echo no luck; exit 3' ended with status 3"),
        ("  c: {switch: s, routes: {default: 10.9.9.9}}\n", "guest c: no route to default via 10.9.9.9"),
        ("  c: {switch: s, sysctls: {net.ipv4.no_such: 1}}\n", "guest c: net.ipv4.no_such cannot be '1'"),
        ("  c: {switch: s, routes: {default: eth7}}\n", "guest c: no route to default via eth7"),
    ],
)
def test_an_up_that_fails_says_why_and_leaves_nothing(tmp_path: Path, extra: str, sentence: str) -> None:
    lab = RunningLab(tmp_path, TWO + extra)
    result = vswitch("lab", "up", str(lab.file))
    last = result.stderr.splitlines()[-1]
    assert (result.returncode, last.startswith(f"vswitch: {sentence}")) == (1, True), result.stderr
    assert lab.left() == []


def test_a_signal_while_it_comes_up_leaves_nothing(tmp_path: Path) -> None:
    lab = RunningLab(tmp_path, TWO + "  c: {switch: s, setup: sleep 1000}\n")
    process = subprocess.Popen([*VSWITCH, "lab", "up", str(lab.file)], stderr=subprocess.DEVNULL)
    until(lambda: (lab.folder / "c.log").exists(), "the lab to wait for a command")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert lab.left() == []


class Stream:
    """A TCP stream from one guest to another that has to go on."""

    def __init__(self, lab: RunningLab, one: str, other: str, address: str) -> None:
        server = lab.guest(other).open_socket(socket.AF_INET, socket.SOCK_STREAM)
        server.bind((address, 0))
        server.listen(1)
        self.client = lab.guest(one).open_socket(socket.AF_INET, socket.SOCK_STREAM)
        self.client.settimeout(20)
        self.client.connect(server.getsockname())
        self.server, _ = server.accept()
        server.close()
        self.came = 0
        self._stop = threading.Event()
        self.error = ""
        self._threads = [threading.Thread(target=work) for work in (self._pour, self._drain)]
        for thread in self._threads:
            thread.start()

    def _pour(self) -> None:
        while not self._stop.is_set():
            try:
                self.client.send(bytes(1 << 14))
            except OSError as error:
                self.error = str(error)
                return
            time.sleep(0.001)  # a stream that leaves the processor to others

    def _drain(self) -> None:
        while not self._stop.is_set():
            if select.select([self.server], [], [], 0.1)[0]:
                self.came += len(self.server.recv(1 << 16))

    def goes_on(self) -> None:
        """See more come."""
        before = self.came
        until(lambda: self.came > before + (1 << 16) or self.error, "the stream to go on")
        assert not self.error

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.client.close()
        self.server.close()


def test_apply_changes_only_what_changed_and_a_stream_of_others_goes_on(tmp_path: Path) -> None:
    with RunningLab(tmp_path, CHAIN) as lab, closing(Stream(lab, "a", "b", "10.86.0.2")) as untouched:
        untouched.goes_on()
        assert lab.lab("plan", str(lab.file)).stdout == "nothing changes\n"
        moved = CHAIN.replace("c: {switch: s2", "c: {switch: s4").replace("s3: }", "s3: , s4: {ageing: 60s}}")
        lab.write(moved.replace("[s2, s3]", "[s2, s3], [s3, s4]") + "")
        planned = json.loads(lab.lab("plan", str(lab.file), "--json").stdout)
        assert not planned["applied"]
        assert lab.row("c")["interfaces"][0]["switch"] == "s2"
        applied = lab.lab("apply", str(lab.file))
        assert (applied.returncode, applied.stdout.splitlines()) == (0, planned["changes"])
        assert {line[:6] for line in planned["changes"]} == {"~ gues", "+ swit", "- s2: ", "+ s3: "}
        untouched.goes_on()
        assert lab.row("c")["interfaces"][0]["switch"] == "s4"
        assert lab.guest("a").ping("10.86.0.3") is not None
        lab.write(
            CHAIN.replace("  c: {switch: s2, address: 10.86.0.3/24}\n", "  d: {switch: s1, address: 10.86.0.4/24}\n")
        )
        assert lab.lab("apply", str(lab.file)).returncode == 0
        untouched.goes_on()
        assert lab.guest("a").ping("10.86.0.4") is not None
        assert not (NAMED / f"{lab.name}-c").exists()
        assert [row["switch"] for row in lab.status()["switches"]] == ["s1", "s2", "s3"]
        assert lab.execute("a", "cat", "/etc/hosts").stdout.count("10.86.0.") == 3
        assert lab.stop() == 0
        assert lab.left() == []


@pytest.mark.program("ip")
def test_a_guest_gets_another_address_of_its_network_and_keeps_its_routes(tmp_path: Path) -> None:
    with RunningLab(tmp_path, TWO.replace("10.86.0.2/24", "10.86.0.2/24, routes: {default: 10.86.0.1}")) as lab:
        lab.write(lab.file.read_text().partition("\n")[2].replace("10.86.0.2", "10.86.0.3"))
        applied = lab.lab("apply", str(lab.file))
        assert (applied.returncode, applied.stderr) == (0, "")
        assert lab.guest("a").ping("10.86.0.3") is not None
        assert lab.execute("b", "ip", "route", "show", "default").stdout.startswith("default via 10.86.0.1 ")
        assert lab.lab("plan", str(lab.file)).stdout == "nothing changes\n"


def test_apply_gives_a_guest_other_commands_and_settings(tmp_path: Path) -> None:
    with RunningLab(tmp_path, TWO.replace("10.86.0.2/24", "10.86.0.2/24, run: sleep 1000")) as lab:
        old = lab.row("b")["processes"]
        other = TWO.replace(
            "10.86.0.2/24", "[10.86.0.2/24, 10.86.0.5/24], sysctls: {net.ipv4.ip_forward: 1}, "
            "routes: {10.5.0.0/16: 10.86.0.1}, run: sleep 1001",
        )  # fmt: skip
        lab.write(other)
        assert lab.lab("apply", str(lab.file)).returncode == 0
        assert lab.guest("a").ping("10.86.0.5") is not None
        assert len(lab.row("b")["processes"]) == 1
        assert lab.row("b")["processes"] != old
        assert not lives(old[0])
        assert "10.5.0.0/16" in lab.execute("b", "ip", "route").stdout
        lab.write(other.replace("routes: {10.5.0.0/16: 10.86.0.1}, ", ""))
        assert lab.process is not None
        lab.process.send_signal(signal.SIGHUP)
        until(lambda: "10.5.0.0/16" not in lab.execute("b", "ip", "route").stdout, "the file to be read again")


def test_an_apply_that_fails_is_undone_as_a_whole(tmp_path: Path) -> None:
    with RunningLab(tmp_path, CHAIN) as lab:
        before = lab.status()
        lab.write(
            CHAIN.replace("c: {switch: s2", "c: {switch: s1").replace("guests:", "guests:\n  d: {switch: s1, "
            "address: 10.86.0.4/24, routes: {default: 10.1.1.1}}").replace("s3: }", "s3: , s4: }")
        )  # fmt: skip
        result = lab.lab("apply", str(lab.file))
        assert (result.returncode, result.stderr.startswith("vswitch: guest d: no route to default")) == (1, True)
        after = lab.status()
        assert sorted(map(str, before["guests"])) == sorted(map(str, after["guests"]))
        assert [row["switch"] for row in after["switches"]] == ["s1", "s2", "s3"]
        assert not (NAMED / f"{lab.name}-d").exists()
        until(lambda: lab.guest("a").ping("10.86.0.3") is not None, "the guest to be where it was")
        assert lab.stop() == 0
        assert lab.left() == []


def test_another_name_or_a_wrong_file_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with RunningLab(tmp_path, TWO) as lab:
        lab.write(TWO + "links: [[a, nobody]]\n")
        result = lab.lab("apply", str(lab.file))
        assert (result.returncode, "there is no switch or guest 'nobody'" in result.stderr) == (2, True)
        other = RunningLab(tmp_path, TWO)
        result = lab.lab("apply", str(other.file))
        assert (result.returncode, "does not run" in result.stderr) == (1, True)
        assert lab.lab("plan", str(other.file)).stdout.splitlines()[0] == "+ guest a (eth0 at s, 10.86.0.1/24)"


def test_the_end_of_a_cable_comes_and_goes(tmp_path: Path) -> None:
    with RunningLab(tmp_path, CHAIN) as lab:
        here, there = f"{lab.name}-s1", f"{lab.name}-s2"
        cable = json.loads(vswitch("--switch", here, "show", "ports", "--json").stdout)
        assert [row["state"] for row in cable if row["port"] == "s2"] == ["up"]
        assert vswitch("--switch", here, "port", "del", "s2").returncode == 0

        def state() -> str:
            rows = json.loads(vswitch("--switch", there, "show", "ports", "--json").stdout)
            return next(str(row["state"]) for row in rows if row["port"] == "s1")

        until(lambda: state() == "not_present", "the other end to notice")
        assert lab.guest("a").ping("10.86.0.2", timeout=0.3) is None
        assert lab.lab("apply", str(lab.file)).stdout.startswith("+ s1: port s2 (patch ")
        until(lambda: state() == "up", "the cable to be whole again")
        until(lambda: lab.guest("a").ping("10.86.0.2") is not None, "the guests to reach each other")


def test_a_namespace_that_was_there_keeps_its_inhabitants(tmp_path: Path) -> None:
    name = unique("l")
    namespace = netns.make(name, lambda _: None)
    try:
        with RunningLab(
            tmp_path, TWO + f"  x: {{switch: s, netns: {name}, address: 10.86.0.9/24, run: sleep 1000}}\n"
        ) as lab:
            with netns.inside(namespace):
                inhabitant = subprocess.Popen(["sleep", "1000"])
            assert lab.guest("a").ping("10.86.0.9") is not None
            (ours,) = lab.row("x")["processes"]
            assert lab.stop() == 0
            assert inhabitant.poll() is None
            assert not lives(ours)
        inhabitant.kill()
        inhabitant.wait()
        assert (NAMED / name).stat().st_ino == namespace.inode
    finally:
        namespace.close()
        netns.remove(name)


def test_a_signal_during_a_change_gives_it_up_and_leaves_nothing(tmp_path: Path) -> None:
    with RunningLab(tmp_path, TWO) as lab:
        lab.write(TWO + "  c: {switch: s, address: 10.86.0.3/24, setup: sleep 1000}\n")
        with subprocess.Popen([*VSWITCH, "lab", "apply", str(lab.file)], stderr=subprocess.PIPE) as change:
            until(lambda: (lab.folder / "c.log").exists(), "the change to wait for a command")
            assert lab.stop() == 0
            assert change.wait(30) == 1
        assert lab.left() == []


def test_interfaces_that_change_places_do_not_get_into_each_other_s_way(tmp_path: Path) -> None:
    topology = """\
switches: {s1: , s2: }
guests: {a: , b: {switch: s1, address: 10.86.0.2/24}}
links: [[{node: "a:ONE", address: 10.86.0.1/24}, s1], [{node: "a:TWO", address: 10.86.1.1/24}, s2]]
"""
    with RunningLab(tmp_path, topology.replace("ONE", "x0").replace("TWO", "y0")) as lab:
        lab.write(topology.replace("ONE", "y0").replace("TWO", "x0"))
        assert lab.lab("apply", str(lab.file)).returncode == 0
        assert [plug["interface"] for plug in lab.row("a")["interfaces"]] == ["y0", "x0"]
        assert lab.guest("b").ping("10.86.0.1") is not None


def test_a_network_of_mininet_s_comes_up_as_it_was(tmp_path: Path) -> None:
    made = vswitch("lab", "import", str(FOREIGN / "tree.py.txt"), "--format", "mininet", "--topology", "slow")
    topology = "switches:" + made.stdout.partition("\nswitches:")[2].replace("loss: 2%", "loss: 0%")
    with RunningLab(tmp_path, topology) as lab:
        trip = lab.guest("h1").ping("10.87.0.9")
        assert trip is not None
        assert trip >= 0.012, "5 and 1 ms each way"
        assert lab.execute("h9", "ip", "route", "get", "10.99.0.1").stdout.split()[2] == "10.87.0.1"


def test_a_hundred_guests_on_ten_switches_all_reach_each_other_and_nothing_is_left(tmp_path: Path) -> None:
    campus = Path(__file__).parents[2] / "configs" / "lab-campus.yml"
    with RunningLab(tmp_path, campus.read_text().replace("name: campus\n", "")) as lab:
        status = lab.status()
        assert (len(status["guests"]), len(status["switches"]), len(status["links"])) == (100, 11, 110)
        assert all(row["up"] == row["ports"] for row in status["switches"])
        call = [*VSWITCH, "lab", "ping", "--lab", lab.name, "--timeout", "5", "--json"]
        result = subprocess.run(call, capture_output=True, text=True, timeout=280, check=False)
        answer = json.loads(result.stdout)
        assert (answer["pairs"], answer["answered"], answer["lost"]) == (9900, 9900, [])
        assert lab.stop() == 0
        assert lab.left() == []
