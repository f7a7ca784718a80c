"""Impairments between real guests: ping, TCP and captures see what was asked for; nothing is lost that is to stay."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import time
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.netns.test_capture import read
from tests.netns.test_forwarding import transfer
from tests.running import VSWITCH, listen, receive, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.netns.conftest import Lab
    from tests.running import Running

DELAY = 0.05
TYPE = b"\x88\xb5"


def achieved(running: Running, port: str, direction: str = "out") -> dict[str, Any]:
    found: dict[str, Any] = running.client.call("GET", f"ports/{port}/impair")["directions"][direction]["achieved"]
    return found


def impair(running: Running, *words: str) -> None:
    done = running.vswitch("impair", *words)
    assert done.returncode == 0, done.stderr


def pair(lab: Lab, **impairment: Any) -> Running:
    """Two guests; the second one's link is not perfect."""
    more: dict[str, Any] = {"impair": impairment} if impairment else {}
    return lab.start({"a": {"address": "10.88.0.1/24"}, "b": {"address": "10.88.0.2/24", **more}})


def test_a_round_trip_takes_at_least_both_delays(lab: Lab) -> None:
    running = pair(lab, **{"in": {"delay": "30ms"}, "out": {"delay": "20ms"}})
    guest = lab.guest("a")
    until(lambda: guest.ping("10.88.0.2") is not None, "an answer")
    times = [taken for _ in range(5) if (taken := guest.ping("10.88.0.2")) is not None]
    assert min(times) >= DELAY
    assert achieved(running, "b")["delay_mean"] >= 0.02
    assert achieved(running, "b", "in")["delay_mean"] >= 0.03


def test_streams_arrive_whole_through_every_kind_of_trouble(lab: Lab) -> None:
    trouble = {"delay": "2ms", "jitter": "1ms", "loss": "1%", "duplicate": "1%", "corrupt": "0.5%", "reorder": "1%"}
    running = pair(lab, seed=3, out=trouble)
    octets = os.urandom(1 << 20)
    digest = hashlib.sha256(octets).hexdigest()
    assert transfer(lab.guest("a"), lab.guest("b"), "10.88.0.2", octets) == digest
    assert transfer(lab.guest("b"), lab.guest("a"), "10.88.0.1", octets) == digest
    figures = achieved(running, "b")
    assert min(figures[name] for name in ("lost", "duplicated", "corrupted", "reordered")) > 0
    assert running.dropped("b")["impaired"] == figures["lost"]


def test_a_stream_arrives_whole_behind_a_rate_that_drops(lab: Lab) -> None:
    running = pair(lab, out={"rate": "20mbit", "queue": "30kB", "codel": True})
    octets = os.urandom(1 << 20)
    begin = time.monotonic()
    digest = transfer(lab.guest("a"), lab.guest("b"), "10.88.0.2", octets)
    assert digest == hashlib.sha256(octets).hexdigest()
    assert time.monotonic() - begin >= len(octets) * 8 / 20e6 * 0.9, "no faster than that"
    assert achieved(running, "b")["held_bytes"] == 0


def test_setting_and_clearing_under_traffic_loses_and_reorders_nothing(lab: Lab) -> None:
    running = pair(lab)
    stop, sent = Event(), [0]
    target, source = (bytes.fromhex("0200000000" + last) for last in ("02", "01"))
    with listen(lab.guest("b"), lab.name("b")) as wire, lab.guest("a").wire(lab.name("a")) as sender:
        wire.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        wire.send(source + target + TYPE + bytes(46))

        def load() -> None:
            while not stop.is_set():
                sender.send(target + source + TYPE + sent[0].to_bytes(4) + bytes(42))
                sent[0] += 1
                time.sleep(0.0005)

        thread = Thread(target=load)
        thread.start()
        for words in (["--delay", "30ms"], ["--delay", "5ms", "--rate", "100mbit"], ["--preset", "transatlantic"]):
            impair(running, "set", "b", "out", *words)
            time.sleep(0.1)
            impair(running, "clear", "b")
        stop.set()
        thread.join()
        numbers = [int.from_bytes(frame[14:18]) for frame in receive(wire, sent[0])]
    assert numbers == list(range(sent[0]))
    assert not running.dropped("b")
    assert running.ports()["b"]["impair"] is None


def test_what_is_set_is_shown_explained_and_measured(lab: Lab) -> None:
    running = pair(lab)
    impair(running, "set", "b", "out", "--delay", "10ms", "--loss-every", "5", "--seed", "9", "--filter", "ip")
    impair(running, "set", "b", "in", "--rate", "5mbit")
    row = running.ports()["b"]["impair"]
    assert row["seed"] == 9
    assert row["directions"]["out"]["config"] == {"delay": 0.01, "loss": {"every": 5}, "filter": "ip"}
    assert row["directions"]["in"]["asked"]["rate"] == 5_000_000
    assert running.ports()["a"]["impair"] is None
    shown = running.vswitch("impair", "show").stdout
    assert "5mbit" in shown
    assert "20%" in shown
    (listed,) = json.loads(running.vswitch("impair", "show", "--json").stdout)
    assert listed["port"] == "b"
    frame = "ffffffffffff 020000000001 0800 4500001400000000400100000a5800010a580002"
    explained = running.vswitch("explain", "a", frame).stdout
    assert "lost if it is number 5" in explained
    assert "delayed by 10ms" in explained
    assert "for other frames" in running.vswitch("explain", "a", "ffffffffffff 020000000001 88b5").stdout
    impair(running, "set", "b", "--seed", "10")
    assert running.ports()["b"]["impair"]["seed"] == 10
    assert running.ports()["b"]["impair"]["directions"]["out"]["config"]["loss"] == {"every": 5}
    impair(running, "clear", "b", "in")
    assert list(running.ports()["b"]["impair"]["directions"]) == ["out"]


def test_a_preset_may_be_of_one_direction_and_what_is_said_anew_takes_its_place(lab: Lab) -> None:
    running = pair(lab)

    def asked() -> dict[str, tuple[float, int]]:
        found = running.ports()["b"]["impair"]["directions"]
        return {name: (each["asked"]["delay"], each["asked"]["rate"]) for name, each in found.items()}

    impair(running, "set", "b", "in", "--delay", "5ms")
    impair(running, "set", "b", "out", "--preset", "lte", "--delay", "1ms")
    assert asked() == {"in": (0.005, 0), "out": (0.001, 12_000_000)}
    impair(running, "set", "b", "--preset", "3g")
    assert asked() == {"in": (0.075, 768_000), "out": (0.075, 1_600_000)}
    impair(running, "set", "b", "out", "--loss", "1%")
    assert asked() == {"in": (0.075, 768_000), "out": (0.0, 0)}


def test_fates_that_cannot_be_written_are_a_sentence(lab: Lab) -> None:
    running = pair(lab, out={"loss": "1%"})
    told = running.vswitch("impair", "record", "b", "out", "-w", "/nowhere/fates")
    assert (told.returncode, told.stderr) == (1, "vswitch: cannot write to /nowhere/fates: No such file or directory\n")


def test_a_file_is_relative_to_where_the_command_is_called(lab: Lab, tmp_path: Path) -> None:
    running = pair(lab)
    (tmp_path / "down.trace").write_text("1\n")
    words = [*VSWITCH, "--control", str(running.control), "impair", "set", "b", "out", "--trace", "down.trace"]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    config = running.ports()["b"]["impair"]["directions"]["out"]["config"]
    assert config["trace"] == str(tmp_path / "down.trace")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["b", "out", "--delay", "10x"], "is not a duration"),
        (["b", "sideways", "--delay", "1ms"], "in, out or both"),
        (["b", "out"], "say what is to happen"),
        (["b", "--preset", "5g"], "there is no preset '5g'"),
        (["nobody", "--delay", "1ms"], "there is no port nobody"),
        (["b", "--trace", "/nowhere/at/all"], "cannot read /nowhere/at/all"),
        (["b", "--rate", "1mbit", "--trace", "/etc/passwd"], "not by both"),
    ],
)
def test_mistakes_are_told_and_change_nothing(lab: Lab, words: list[str], sentence: str) -> None:
    running = pair(lab)
    told = running.vswitch("impair", "set", *words)
    assert told.returncode == 2 or (told.returncode == 1 and "nobody" in words)
    assert sentence in told.stderr
    assert running.ports()["b"]["impair"] is None


def test_a_capture_links_what_comes_in_with_what_leaves_late(
    lab: Lab, tmp_path: Path, three: Callable[..., Running]
) -> None:
    running = three()
    impair(running, "set", "b", "out", "--delay", "100ms")
    file = tmp_path / "capture"
    command = ["capture", "a", "b", "-w", str(file), "--count", "2", "--filter", "ether proto 0x88b5"]
    with subprocess.Popen(
        [*VSWITCH, "--control", str(running.control), *command], stderr=subprocess.DEVNULL
    ) as capture:
        until(lambda: running.client.call("GET", "switch")["captures"] == 1, "the capture")
        with lab.guest("a").wire(lab.name("a")) as wire:
            wire.send(bytes.fromhex("ffffffffffff 020000000001 88b5") + bytes(46))
        assert capture.wait(30) == 0
    came, left = read(file)
    assert (came.interface, left.interface) == ("a", "b")
    assert came.number == left.number
    assert left.time - came.time >= 0.1 * 1e9


def test_recorded_fates_are_met_again(lab: Lab, tmp_path: Path) -> None:
    running = pair(lab, out={"loss": "50%"})
    file = tmp_path / "fates"
    words = ["--control", str(running.control), "impair", "record", "b", "out", "-w", str(file)]
    target, source = (bytes.fromhex("0200000000" + last) for last in ("02", "01"))

    def numbers() -> list[int]:
        for number in range(100):
            sender.send(target + source + TYPE + number.to_bytes(4) + bytes(42))
        return [int.from_bytes(frame[14:18]) for frame in receive(wire, 100)]

    with listen(lab.guest("b"), lab.name("b")) as wire, lab.guest("a").wire(lab.name("a")) as sender:
        wire.send(source + target + TYPE + bytes(46))
        impair(running, "set", "b", "out", "--loss", "50%", "--filter", "ether proto 0x88b5")
        with subprocess.Popen([*VSWITCH, *words]) as record:
            until(file.exists, "the recorder")
            first = numbers()
            until(lambda: len(file.read_text().splitlines()) == 100, "a hundred fates")
            record.send_signal(2)
        impair(running, "set", "b", "out", "--replay", str(file), "--filter", "ether proto 0x88b5")
        assert 10 < len(first) < 90
        assert numbers() == first
