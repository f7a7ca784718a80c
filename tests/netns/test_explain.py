"""What became of real frames, by words and by API; and frames that nobody sent."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING, Any

from tests.running import VSWITCH, Running, listen, receive, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.netns.conftest import Lab

LLDP = bytes.fromhex("0180c200000e 020000000001 88cc") + bytes(50)
FRAME = bytes.fromhex("ffffffffffff 0200000000aa 88b5") + bytes(50)


def recent(switch: Running, *arguments: str) -> list[dict[str, Any]]:
    result = switch.vswitch("explain", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def ours(switch: Running) -> list[dict[str, Any]]:
    return [row for row in recent(switch, "a", "--last", "32") if row["frame"] == FRAME.hex()]


def test_the_last_drops_are_told_by_the_word_of_counter_and_metric(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    with lab.guest("a").wire(lab.name("a")) as wire:
        for _ in range(3):
            wire.send(LLDP)
    until(lambda: switch.dropped("a").get("reserved_address") == 3, "the drops")
    rows = [row for row in recent(switch, "--last", "10", "--drops") if row["reason"] == "reserved_address"]
    assert len(rows) == 2, "of a flow that is known the first two"
    assert {row["frame"] for row in rows} == {LLDP.hex()}
    assert rows[0]["explanation"]["steps"][-1]["reason"] == "reserved_address"
    assert recent(switch, "b", "--last", "10", "--drops") == []
    assert "reserved_address" in switch.vswitch("explain", "a", "--last", "1", "--drops").stdout


def test_the_last_frames_say_where_they_went_then(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    assert switch.vswitch("send", "a", FRAME.hex()).stdout == "1 sent\n"
    (row,) = ours(switch)
    assert (row["length"], row["reason"]) == (64, None)
    assert row["egress"] == ["b", "c"]
    switch.client.call("DELETE", "ports/c")
    (row,) = ours(switch)
    assert row["egress"] == ["b", "c"], "as it was"
    leaving = [port["port"] for port in row["explanation"]["ports"] if port["frames"]]
    assert leaving == ["b"], "as it would be"


def test_live_explanations_are_of_the_moment_before_the_decision(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    words = [*VSWITCH, "--control", str(switch.control), "explain", "a", "--live", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        before = switch.ports()["a"]["receive"]["broadcast"]
        lines: list[str] = []

        def sent_and_told() -> bool:
            switch.vswitch("send", "a", FRAME.hex())
            assert process.stdout is not None
            line = process.stdout.readline()
            lines.append(line)
            return FRAME.hex() in line

        until(sent_and_told, "an explanation")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    first = next(json.loads(line) for line in lines if FRAME.hex() in line)
    learning = next(step["saw"] for step in first["explanation"]["steps"] if step["rule"] == "learning")
    assert ("is new" in learning) == (switch.ports()["a"]["receive"]["broadcast"] == before + 1)
    assert first["egress"] == ["b", "c"]


def test_it_changes_nothing(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    before = switch.ports(), switch.client.call("GET", "fdb")
    recent(switch, "--last", "10")
    switch.vswitch("explain", "a", FRAME.hex())
    after = switch.ports(), switch.client.call("GET", "fdb")
    strip = [[(row["mac"], row["port"]) for row in fdb] for _, fdb in (before, after)]
    assert set(strip[0]) <= set(strip[1])
    assert "02:00:00:00:00:aa" not in {mac for mac, _ in strip[1]}


def test_sent_frames_come_as_if_from_the_guest_or_go_to_it(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    with listen(lab.guest("a"), lab.name("a")) as a, listen(lab.guest("b"), lab.name("b")) as b:
        assert switch.vswitch("send", "a", FRAME.hex(), "--count", "5").returncode == 0
        assert receive(b, 6) == [FRAME] * 5
        switch.vswitch("send", "b", FRAME.hex(), "--direction", "out")
        assert receive(b, 2) == [FRAME]
        assert receive(a, 1) == []
    (row,) = switch.client.call("GET", "fdb", mac="02:00:00:00:00:aa")
    assert row["port"] == "a"


def test_frames_go_no_faster_than_asked_and_end_with_their_caller(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    answer = switch.client.call("POST", "send", {"port": "a", "frame": FRAME.hex(), "count": 20, "rate": 100.0})
    assert answer == {"sent": 20}
    words = [*VSWITCH, "--control", str(switch.control), "send", "a", FRAME.hex(), "--count", "100000", "--rate", "200"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        before = switch.ports()["a"]["receive"]["broadcast"]
        until(lambda: switch.ports()["a"]["receive"]["broadcast"] > before + 5, "frames")
        process.kill()
        process.wait()

    def quiet() -> bool:
        now = switch.ports()["a"]["receive"]["broadcast"]
        return not any(switch.ports()["a"]["receive"]["broadcast"] != now for _ in range(20))

    until(quiet, "it to end")


def test_calls_that_are_wrong_are_one_sentence(lab: Lab, three: Callable[..., Running], tmp_path: Path) -> None:
    switch = three()
    for arguments, words in (
        (["explain"], "PORT and FRAME"),
        (["explain", "a", "zz"], "no frame"),
        (["explain", "nope", "00"], "no port nope"),
        (["explain", "nope", "--last", "3"], "no port nope"),
        (["explain", "a", "00", "--last", "3"], "not both"),
        (["send", "nope", "00"], "no port nope"),
        (["send", "a", "00", "--direction", "out"], "14 octets"),
    ):
        result = switch.vswitch(*arguments)
        assert result.returncode == 2, arguments
        assert words in result.stderr
        assert len(result.stderr.splitlines()) == 1
