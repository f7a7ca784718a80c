"""What the page of a real switch says as it happens, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyroute2 import NetNS

from tests.browser import TOKEN, Browser, free_port
from tests.netns.test_page_access import resident
from tests.running import PATIENCE, Running, unique, until
from vswitch.ports import netns

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.netns.conftest import Lab

TYPE = b"\x88\xb5"


@pytest.fixture
def page(three: Callable[..., Running]) -> Browser:
    """With the token; guests a, b and c are 10.88.0.1, .2 and .3."""
    port = free_port()
    three(page={"listen": f"127.0.0.1:{port}", "token": TOKEN})
    return Browser(port, TOKEN)


def kernel(lab: Lab, port: str) -> dict[str, int]:
    """What the guest's kernel counts at its interface."""
    with NetNS(lab.name(port)) as guest:
        link = guest.get_links(ifname=lab.name(port))[0]
        counted: dict[str, int] = link.get_attr("IFLA_STATS64")
    return counted


def frames(traffic: dict[str, int]) -> int:
    return traffic["unicast"] + traffic["multicast"] + traffic["broadcast"]


def rows(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["port"]: row for row in state["ports"]}


def test_the_first_message_says_who_speaks(page: Browser, lab: Lab) -> None:
    with page.live() as live:
        hello = live.next("hello")
    assert (hello["switch"], hello["interval"]) == (lab.tag, 1.0)
    assert set(hello["may"]) == {"explain", "capture", "frames", "change"}
    assert abs(hello["started"] - time.time()) < PATIENCE
    assert hello["reasons"]["runt"]


def test_a_state_is_what_show_ports_says(page: Browser, lab: Lab) -> None:
    with page.live() as live:
        state = live.next("state")
    shown = lab.running[0].ports()
    assert {name: set(row) for name, row in rows(state).items()} == {name: set(row) for name, row in shown.items()}
    assert set(state["fdb"]) == {"entries", "limit", "moves", "flaps"}
    assert state["loop"]["lag"] >= 0


def test_counters_are_those_of_the_kernel(page: Browser, lab: Lab) -> None:
    """So rates are, which are differences of them over differences of `at`."""
    with page.live() as live:
        live.ask(interval=0.25)
        first = live.next("state")
        for _ in range(20):
            assert lab.guest("a").ping("10.88.0.2") is not None

        def agrees(last: dict[str, Any]) -> bool:
            there, counted = kernel(lab, "a"), rows(last)["a"]
            return (frames(counted["receive"]), counted["receive"]["bytes"], frames(counted["transmit"])) == (
                there["tx_packets"], there["tx_bytes"], there["rx_packets"],
            )  # fmt: skip

        until(lambda: agrees(live.next("state")), "a state with the counters of the kernel")
        last = live.next("state")
    assert last["at"] > first["at"]
    grown = rows(last)["a"]["receive"]["bytes"] - rows(first)["a"]["receive"]["bytes"]
    assert grown >= 20 * 42


def test_who_talks_most_comes_first(page: Browser, lab: Lab) -> None:
    wires = {port: lab.guest(port).wire(lab.name(port)) for port in "ab"}
    with page.live() as live, ExitStack() as stack:
        for wire in wires.values():
            stack.enter_context(closing(wire))
        live.next("state")

        def first_two() -> list[str]:
            for _ in range(10):
                wires["a"].send(b"\x02\0\0\0\0\x0b\x02\0\0\0\0\x0a" + TYPE + bytes(1000))
                wires["b"].send(b"\x02\0\0\0\0\x0a\x02\0\0\0\0\x0b" + TYPE + bytes(100))
            flows = live.next("state")["flows"]
            assert all(flow["rate"] > 0 for flow in flows)
            assert flows == sorted(flows, key=lambda flow: -flow["rate"])
            return [flow["source"] for flow in flows[:2]]

        until(lambda: first_two() == ["02:00:00:00:00:0a", "02:00:00:00:00:0b"], "the two that talk most")


def test_a_port_that_goes_down_is_seen_soon(page: Browser, lab: Lab) -> None:
    with page.live() as live:
        assert rows(live.next("state"))["b"]["state"] == "up"
        with NetNS(lab.name("b")) as guest:
            guest.link("set", index=guest.link_lookup(ifname=lab.name("b"))[0], state="down")
        states = [rows(live.next("state"))["b"]["state"] for _ in range(3)]
    assert "down" in states, "within some two seconds, at one message a second"


def test_what_becomes_of_stations_is_told(page: Browser, lab: Lab) -> None:
    with closing(lab.guest("c").wire(lab.name("c"))) as wire:
        wire.send(b"\xff" * 6 + b"\x02\0\0\0\0\x01" + TYPE + bytes(46))
        with page.live() as live:
            known = []
            while "02:00:00:00:00:01" not in known:
                known += [event["mac"] for event in live.next("history")["events"]]
            wire.send(b"\xff" * 6 + b"\x02\0\0\0\0\x02" + TYPE + bytes(46))
            new: list[dict[str, Any]] = []
            while not any(event["mac"] == "02:00:00:00:00:02" for event in new):
                new += live.next("history")["events"]
    assert "02:00:00:00:00:01" not in [event["mac"] for event in new], "what was told is not told again"


def test_all_who_look_see_the_same(page: Browser) -> None:
    with page.live() as one, page.live() as other:
        seen = {one.next("state")["at"] for _ in range(3)} & {other.next("state")["at"] for _ in range(3)}
    assert len(seen) >= 2


def test_one_who_does_not_read_misses_states_and_costs_no_memory(tmp_path: Path) -> None:
    port = free_port()
    name = unique("q")
    config = {
        "name": name,
        "ports": {"vm[1-250]": {"qemu": str(tmp_path / "{n}.sock")}},
        "page": {"listen": f"127.0.0.1:{port}"},
    }
    page = Browser(port)
    with Running(tmp_path, config) as running, ExitStack() as stack:
        deaf = [stack.enter_context(page.live()) for _ in range(10)]
        for each in deaf:
            each.ask(interval=0.25)
        other = stack.enter_context(page.live())
        other.ask(interval=0.25)
        for _ in range(4):
            other.next("state")
        before = resident(running)
        last = 0.0
        for _ in range(44):
            last = other.next("state")["at"]
        assert resident(running) - before < 32 << 20
        states = 0
        while deaf[0].next("state")["at"] < last:
            states += 1
        assert states < 40, "what it did not read in time was put in the place of what came before"


def switches(running: Running) -> int:
    """How often the switch went to sleep."""
    assert running.process is not None
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])


def test_nothing_is_done_while_nobody_looks(tmp_path: Path) -> None:
    port = free_port()
    config = {
        "name": unique("q"),
        "ports": {"a": {"qemu": str(tmp_path / "a")}},
        "page": {"listen": f"127.0.0.1:{port}"},
    }
    with Running(tmp_path, config) as running:
        with Browser(port).live() as live:
            live.next("state")
        until(lambda: descriptors_of_sockets(running) == 0, "the connection to be closed")
        time.sleep(1.0)
        before = switches(running)
        time.sleep(2.0)
        assert switches(running) - before <= 1
        with Browser(port).live() as live:
            live.next("state")
            live.next("state")
        assert switches(running) - before > 4


def descriptors_of_sockets(running: Running) -> int:
    """TCP connections of the switch that are established."""
    assert running.process is not None
    inodes = set()
    for each in Path(f"/proc/{running.process.pid}/fd").iterdir():
        with suppress(OSError):
            inodes.add(str(each.readlink()).partition("socket:[")[2].rstrip("]"))
    lines = Path(f"/proc/{running.process.pid}/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[9] in inodes and line.split()[3] == "01" for line in lines)


# Frames


def children(pid: int) -> list[int]:
    """The processes that a process has."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def decoders(running: Running) -> list[int]:
    assert running.process is not None
    return children(running.process.pid)


def test_frames_in_words(page: Browser, lab: Lab) -> None:
    with page.live() as live:
        live.ask(frames="a")

        def seen() -> bool:
            lab.guest("a").ping("10.88.0.2")
            found = live.next("frames")
            assert found["port"] == "a"
            assert len(found["frames"]) <= 10
            lines = {(each["direction"], each["line"]) for each in found["frames"]}
            return ("in", "IP / ICMP 10.88.0.1 > 10.88.0.2 echo-request 0") in lines and (
                ("out", "IP / ICMP 10.88.0.2 > 10.88.0.1 echo-reply 0") in lines
            )

        until(seen, "the ping in words")


def test_a_dropped_frame_has_its_reason(page: Browser, lab: Lab) -> None:
    with page.live() as live, closing(lab.guest("a").wire(lab.name("a"))) as wire:
        live.ask(frames="a")

        def seen() -> bool:
            wire.send(bytes.fromhex("0180c200000e") + b"\x02\0\0\0\0\x01\x88\xcc" + bytes(46))
            return any(each["reason"] == "reserved_address" for each in live.next("frames")["frames"])

        until(seen, "a frame that was dropped")


def test_too_many_frames_are_counted_and_any_octets_are_a_line(page: Browser, lab: Lab) -> None:
    with page.live() as live, closing(lab.guest("b").wire(lab.name("b"))) as wire:
        live.ask(frames="b")
        seen, lost = 0, 0
        while not (lost > 1000 and seen > 60):
            for _ in range(100):
                wire.send(os.urandom(5) + b"\x02" + b"\x02" + os.urandom(60))
            message = live.next("frames")
            lost += message["lost"]
            seen += len(message["frames"])
            assert all(isinstance(each["line"], str) and len(each["line"]) <= 300 for each in message["frames"])
        live.next("state")


def test_the_process_that_decodes_has_no_power(page: Browser, lab: Lab) -> None:
    with page.live() as live:
        live.ask(frames="a")
        until(lambda: decoders(lab.running[0]), "a process")
        lab.guest("a").ping("10.88.0.2")
        while not live.next("frames")["frames"]:
            lab.guest("a").ping("10.88.0.2")
        (pid,) = decoders(lab.running[0])
        status = Path(f"/proc/{pid}/status").read_text()
        assert status.split("\nUid:")[1].split()[:4] == ["65534"] * 4
        assert status.split("\nCapEff:")[1].split()[0].strip("0") == ""
        assert status.split("\nNoNewPrivs:")[1].split()[0] == "1"
        assert {int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir()} == {0, 1, 2}


def test_the_process_that_decodes_goes_with_the_wish_and_with_the_connection(page: Browser, lab: Lab) -> None:
    running = lab.running[0]
    with page.live() as live:
        assert decoders(running) == []
        live.ask(frames="a")
        until(lambda: decoders(running), "a process")
        live.ask(frames="nothing of that name")
        live.next("error")
        live.ask(frames="d")
        assert "there is no port d" in live.next("error")["message"]
        live.ask(frames=None)
        until(lambda: not decoders(running), "the process to end")
        live.ask(frames="b")
        live.ask(frames="c")
        until(lambda: decoders(running), "a process again")
        assert len(decoders(running)) == 1
    until(lambda: not decoders(running), "the process to end with the connection")


def test_so_many_may_see_frames_and_no_more(page: Browser, lab: Lab) -> None:
    with ExitStack() as stack:
        viewers = [stack.enter_context(page.live()) for _ in range(5)]
        for viewer in viewers[:4]:
            viewer.ask(frames="a")
        until(lambda: len(decoders(lab.running[0])) == 4, "four processes")
        viewers[4].ask(frames="a")
        assert "4 pages show frames already" in viewers[4].next("error")["message"]
    until(lambda: not decoders(lab.running[0]), "the processes to end")


def test_the_process_that_decodes_is_made_anew(page: Browser, lab: Lab) -> None:
    with page.live() as live:
        live.ask(frames="a")
        until(lambda: decoders(lab.running[0]), "a process")
        (first,) = decoders(lab.running[0])
        os.kill(first, signal.SIGKILL)

        def again() -> bool:
            lab.guest("a").ping("10.88.0.2")
            return decoders(lab.running[0]) not in ([], [first])

        until(again, "another process")
        assert "ended" in live.next("error")["message"]
        lab.guest("a").ping("10.88.0.2")
        while not live.next("frames")["frames"]:
            lab.guest("a").ping("10.88.0.2")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_the_switch_ends(page: Browser, lab: Lab, number: int) -> None:
    running = lab.running[0]
    with page.live() as live, closing(page.connect()) as capture:
        capture.sendall(
            f"GET /v1/capture HTTP/1.1\r\nHost: {page.name}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        capture.recv(100)
        live.ask(frames="a")
        until(lambda: decoders(running), "a process")
        (decoder,) = decoders(running)
        status = running.stop(number)
        assert status == (0 if number == signal.SIGTERM else -signal.SIGKILL)
        until(lambda: not Path(f"/proc/{decoder}").exists(), "the process that decodes to end")
        if number == signal.SIGTERM:
            assert live.closed() in (0, 1012)
    with pytest.raises(ConnectionRefusedError):
        page.connect()
    log = running.log.read_text()
    assert "Traceback" not in log
    assert TOKEN not in log
    if number == signal.SIGKILL:
        running.start()  # the next one clears up what the one that was killed left
        running.stop()
    assert netns.find(lab.name("a")) is None


# The listener


def change(running: Running, config: dict[str, Any], by: str) -> None:
    running.write(config)
    if by == "apply":
        assert running.vswitch("apply", str(running.file)).returncode == 0
    else:
        assert running.process is not None
        running.process.send_signal(signal.SIGHUP)


def refuses(page: Browser) -> bool:
    try:
        page.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def answers(page: Browser, status: int = 200) -> bool:
    try:
        return page.get("/v1/config").status == status
    except OSError:
        return False


@pytest.mark.parametrize("by", ["SIGHUP", "apply"])
def test_the_listener_goes_where_the_configuration_says(lab: Lab, by: str) -> None:
    ports = free_port(), free_port()
    first, second = (Browser(port, TOKEN) for port in ports)
    running = lab.start({"a": {}})
    change(running, lab.config({"a": {}}, page={"listen": first.name, "token": TOKEN}), by)
    until(lambda: answers(first), "the page to be there")
    with first.live() as live:
        live.next("state")
        change(running, lab.config({"a": {}}, page={"listen": second.name, "token": TOKEN}), by)
        until(lambda: answers(second), "the page to be elsewhere")
        assert live.closed() == 1012
    assert refuses(first)
    change(running, lab.config({"a": {}}), by)
    until(lambda: refuses(second), "the page to be gone")
    assert TOKEN not in running.log.read_text()


def test_another_token_ends_what_the_old_one_began(lab: Lab) -> None:
    page, other = (Browser(free_port(), TOKEN) for _ in range(2))
    running = lab.start({"a": {}}, page={"listen": page.name, "token": TOKEN})
    other = Browser(page.port, "another-token-of-that-length")
    with page.live() as live:
        live.next("state")
        change(running, lab.config({"a": {}}, page={"listen": page.name, "token": other.token}), "apply")
        assert live.closed() == 1012
    assert answers(page, 401)
    assert answers(other)


def test_the_token_of_a_file_is_read_again_by_sighup(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    page = Browser(free_port(), TOKEN)
    config = lab.config({"a": {}}, page={"listen": page.name, "token_file": str(file)})
    running = lab.start({"a": {}}, page=config["page"])
    assert answers(page)
    file.write_text("another-token-of-that-length\n")
    change(running, config, "SIGHUP")
    until(lambda: answers(page, 401), "the old token to be none")
    assert answers(Browser(page.port, "another-token-of-that-length"))
    assert TOKEN not in str(running.client.call("GET", "config"))


def test_a_token_file_that_is_of_no_use(lab: Lab, tmp_path: Path) -> None:
    page = Browser(free_port(), TOKEN)
    running = lab.start({"a": {}}, page={"listen": page.name, "token": TOKEN})
    readable, short, fifo = tmp_path / "readable", tmp_path / "short", tmp_path / "fifo"
    readable.write_text("a-token-that-everybody-can-read")
    readable.chmod(0o644)
    short.write_text("short")
    short.chmod(0o600)
    os.mkfifo(fifo, 0o600)
    cases = {
        readable: "everybody can read", short: "there is no token", fifo: "is no file", tmp_path: "is no file",
        tmp_path / "none": "cannot read",
    }  # fmt: skip
    for file, sentence in cases.items():
        wanted = lab.config({"a": {}}, page={"listen": page.name, "token_file": str(file)})
        running.write(wanted)
        result = running.vswitch("apply", str(running.file))
        assert result.returncode == 1, file
        assert sentence in result.stderr
        assert "everybody-can-read" not in result.stderr
        assert answers(page), "the page stays as it was"


def test_an_address_that_is_taken_leaves_metrics_and_page_where_they_were(lab: Lab) -> None:
    page, metrics = Browser(free_port(), TOKEN), f"127.0.0.1:{free_port()}"
    running = lab.start({"a": {}}, page={"listen": page.name, "token": TOKEN})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        running.write(lab.config({"a": {}}, page={"listen": listen, "token": TOKEN}, metrics={"listen": metrics}))
        result = running.vswitch("apply", str(running.file))
    assert (result.returncode, result.stderr) == (
        1, f"vswitch: page: cannot listen on {listen}: Address already in use\n",
    )  # fmt: skip
    assert answers(page)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(metrics.partition(":")[2])), 5)


def test_the_page_may_move_itself(lab: Lab) -> None:
    page, second = Browser(free_port(), TOKEN), Browser(free_port(), TOKEN)
    running = lab.start({"a": {}}, page={"listen": page.name, "token": TOKEN})
    config = page.get("/v1/config").json
    config["page"]["listen"] = second.name
    answer = page.call("PUT", "/v1/config", config)
    assert answer.status == 200
    assert answer.json["changes"] == [f"~ page {page.name} → {second.name}"]
    until(lambda: answers(second), "the page to be elsewhere")
    until(lambda: refuses(page), "the old address to be left")
    assert running.stop() == 0


def test_run_with_a_page_of_its_own(tmp_path: Path) -> None:
    port = free_port()
    name = unique("q")
    file = tmp_path / "a.yml"
    file.write_text(f"name: {name}\ncontrol: {tmp_path}/a.sock\nports: {{a: {{qemu: {tmp_path}/q}}}}\n")
    command = [sys.executable, "-m", "vswitch", "run", "--page", f"127.0.0.1:{port}", str(file)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        ExitStack() as stack,
    ):
        stack.callback(process.kill)
        assert process.stdout is not None
        line = process.stdout.readline()
        url, _, token = line.removeprefix("the page: ").strip().partition("#token=")
        assert url == f"http://127.0.0.1:{port}/"
        assert len(token) >= 32
        page = Browser(port, token)
        assert page.get("/v1/config").json.get("page") is None, "the token is in no configuration"
        process.send_signal(signal.SIGHUP)
        assert page.call("PUT", "/v1/config", page.get("/v1/config").json).status == 200
        assert answers(page), "no configuration takes it away"
        process.terminate()
        rest, log = process.communicate(timeout=PATIENCE)
        assert rest == ""
        assert f"page on http://127.0.0.1:{port}/" in log
        assert token not in log
        assert process.returncode == 0
