"""Mirrors between real guests: every frame once a direction, octet for octet, with the right tag, by the fast path."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import select
import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.netns.test_forwarding import BROADCAST, TYPE, mac, transfer
from tests.running import Running, listen, receive, until

if TYPE_CHECKING:
    from tests.netns.conftest import Lab

BOTH_TWINS = pytest.mark.parametrize("native", ["require", "off"])
VLANS: dict[str, dict[str, Any]] = {"a": {"access": 10}, "b": {"access": 10}, "c": {"trunk": [10, 20]}, "span": {}}


def tagged(frame: bytes, vid: int) -> bytes:
    return frame[:12] + b"\x81\x00" + vid.to_bytes(2) + frame[12:]


class Wires:
    """A packet socket of each guest, and the numbered frames that they send."""

    def __init__(self, lab: Lab, names: str = "abc") -> None:
        with ExitStack() as stack:
            self.at = {name: stack.enter_context(listen(lab.guest(name), lab.name(name))) for name in (*names, "span")}
            self._stack = stack.pop_all()
        self.number = self.warmed = 0

    def __enter__(self) -> Wires:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def send(self, name: str, to: bytes, source: bytes, vid: int = 0, size: int = 46) -> bytes:
        """The frame."""
        self.number += 1
        frame = to + source + TYPE + self.number.to_bytes(4) + bytes(size - 4)
        frame = tagged(frame, vid) if vid else frame
        self.at[name].send(frame)
        return frame

    def hear(self, name: str, count: int) -> list[bytes]:
        """So many frames of those sent since the flows were warm."""
        heard: list[bytes] = []
        while len(heard) < count and (frames := receive(self.at[name], 1)):
            payload = frames[0][frames[0].index(TYPE) + 2 :]
            heard += frames if int.from_bytes(payload[:4]) > self.warmed else []
        return heard

    def silent(self, *names: str) -> bool:
        """Whether nobody of these hears any more."""
        return not any(self.hear(name, 1) for name in names)


def start(lab: Lab, native: str, **options: object) -> Running:
    running = Running(lab.folder, lab.config(VLANS, **options), environment={"VSWITCH_NATIVE": native})
    lab.running.append(running)
    running.start()
    return running


def warm(running: Running, wires: Wires) -> None:
    """a, b and c are known, and the flows between them are in the fast path."""
    for _ in range(3):
        for number, (name, vid) in enumerate((("a", 0), ("b", 0), ("c", 10)), 1):
            wires.send(name, BROADCAST, mac(number), vid)
            for other in (1, 2, 3):
                if other != number:
                    wires.send(name, mac(other), mac(number), vid)
    until(lambda: len(running.client.call("GET", "fdb")) >= 3, "learning")
    wires.warmed = wires.number


@BOTH_TWINS
def test_every_frame_is_copied_once_a_direction_with_its_tag(lab: Lab, native: str) -> None:
    mirrors = {"m": {"ports": ["a"], "to": "span"}}
    running = start(lab, native, mirrors=mirrors)
    with Wires(lab) as wires:
        warm(running, wires)
        before = running.ports()["span"]["transmit"]
        sizes = (46, 100, 700, 1500)
        expected = []
        for size in sizes * 5:
            expected += [wires.send("a", mac(2), mac(1), size=size), wires.send("a", mac(3), mac(1), size=size)]
        assert wires.hear("span", 40) == expected
        assert wires.hear("b", 20) == expected[::2]
        assert wires.hear("c", 20) == [tagged(frame, 10) for frame in expected[1::2]]
        answers = [wires.send("b", mac(1), mac(2), size=size) for size in sizes * 5]
        assert wires.hear("span", 20) == wires.hear("a", 20) == answers
        from_trunk = [wires.send("c", mac(1), mac(3), vid=10, size=size) for size in (46, 700)]
        untagged = [frame[:12] + frame[16:] for frame in from_trunk]
        assert wires.hear("span", 2) == wires.hear("a", 2) == untagged
        wires.send("b", mac(3), mac(2))
        assert wires.silent("span"), "not a's, and nothing came twice"
        after = running.ports()["span"]["transmit"]
        assert after["unicast"] - before["unicast"] == 40 + 20 + 2
        assert lost(running) == {}


@BOTH_TWINS
def test_vlans_and_directions(lab: Lab, native: str) -> None:
    running = start(lab, native, mirrors={"m": {"vlans": [10], "direction": "in", "to": "span"}})
    with Wires(lab) as wires:
        warm(running, wires)
        sent = [wires.send("a", BROADCAST, mac(1)), wires.send("c", BROADCAST, mac(3), vid=10)]
        wires.send("c", BROADCAST, mac(3), vid=20)
        assert wires.hear("span", 2) == sent
        config = lab.config(VLANS, mirrors={"m": {"ports": ["c"], "vlans": [10], "direction": "out", "to": "span"}})
        running.write(config)
        applied = running.vswitch("apply", str(running.file))
        assert applied.returncode == 0, applied.stderr
        assert "+ mirror m (ports c, vlans 10, direction out, to span)" in applied.stdout
        warm(running, wires)
        frames = [wires.send("a", BROADCAST, mac(1)), wires.send("c", mac(1), mac(3), vid=10)]
        assert wires.hear("span", 1) == [tagged(frames[0], 10)]
        assert wires.silent("span")


@BOTH_TWINS
def test_the_destination_takes_no_part(lab: Lab, native: str) -> None:
    """What its guest sends goes nowhere, as fast as it comes; a bridge there makes no loop."""
    running = start(lab, native, mirrors={"m": {"ports": ["a"], "to": "span"}})
    with Wires(lab) as wires:
        warm(running, wires)
        for _ in range(5):
            wires.send("span", BROADCAST, mac(9))
            wires.send("span", mac(1), mac(1))
        last = wires.send("b", BROADCAST, mac(2))
        assert wires.hear("a", 2) == [last]
        assert running.dropped("span")["mirror_port"] >= 10
        rows = running.client.call("GET", "fdb")
        assert {row["port"] for row in rows} == {"a", "b", "c"}


@BOTH_TWINS
def test_what_a_destination_cannot_take_hurts_nobody(lab: Lab, native: str) -> None:
    ports = {**VLANS, "a": {"access": 10, "mtu": 4000}, "b": {"access": 10, "mtu": 4000}, "c": {"access": 20}}
    config = lab.config(ports, mirrors={"m": {"ports": ["a"], "to": "span"}})
    running = Running(lab.folder, config, environment={"VSWITCH_NATIVE": native})
    lab.running.append(running)
    running.start()
    with Wires(lab) as wires:
        warm(running, wires)
        sent = [wires.send("a", mac(2), mac(1), size=size) for size in (3000, 100, 4000, 1500) * 3]
        assert wires.hear("b", 12) == sent, "long frames too, in order"
        assert wires.hear("span", 6) == [frame for frame in sent if len(frame) < 2000]
        assert lost(running) == {"oversize": 6}
        assert not running.dropped("b")
        assert "oversize" not in running.dropped("a")
        control = lab.guest("span").open_socket(socket.AF_INET, socket.SOCK_DGRAM)
        with control:
            set_down(control, lab.name("span"))
        until(lambda: running.ports()["span"]["state"] == "down", "span to be down")
        sent = [wires.send("a", mac(2), mac(1)) for _ in range(10)]
        assert wires.hear("b", 10) == sent
        assert lost(running)["port_down"] >= 10


def lost(running: Running) -> dict[str, int]:
    """Copies that the destination could not take; its guest may have said something, too."""
    return {reason: count for reason, count in running.dropped("span").items() if reason != "mirror_port"}


def set_down(control: socket.socket, name: str) -> None:
    fcntl.ioctl(control, 0x8914, struct.pack("16sH22x", name.encode(), 0))


@BOTH_TWINS
def test_a_stream_arrives_whole_at_both(lab: Lab, native: str) -> None:
    """Superframes, by the fast path, and every octet of them at the mirror's guest."""
    running = Running(
        lab.folder,
        lab.config(
            {"a": {"address": "10.88.0.1/24"}, "b": {"address": "10.88.0.2/24"}, "span": {}},
            mirrors={"m": {"ports": ["a"], "direction": "in", "to": "span"}},
        ),
        environment={"VSWITCH_NATIVE": native},
    )
    lab.running.append(running)
    running.start()
    octets = os.urandom(2 << 20)
    with listen(lab.guest("span"), lab.name("span")) as span:
        span.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        assert transfer(lab.guest("a"), lab.guest("b"), "10.88.0.2", octets) == hashlib.sha256(octets).hexdigest()
        stream = b"".join(payload for _, payload in sorted(segments(span).items()))
    assert stream == octets
    assert lost(running) == {}


def segments(span: socket.socket) -> dict[int, bytes]:
    """The payload of one TCP connection by its distance from the start, retransmissions once."""
    start = None
    found: dict[int, bytes] = {}
    while select.select([span], [], [], 1.0)[0]:
        frame = span.recv(1 << 17)
        if frame[12:14] != b"\x08\x00" or frame[23] != 6:
            continue
        total = int.from_bytes(frame[16:18])
        sequence = int.from_bytes(frame[38:42])
        payload = frame[34 + (frame[46] >> 4) * 4 : 14 + total]
        if frame[47] & 2:
            start = sequence + 1
        if payload and start is not None:
            found[(sequence - start) % (1 << 32)] = payload
    return found


def test_the_command_line_and_the_api(lab: Lab) -> None:
    running = lab.start(VLANS)
    add = running.vswitch("mirror", "add", "m", "--port", "a", "--port", "c", "--vlan", "10", "--to", "span")
    assert (add.returncode, add.stderr) == (0, "")
    row = {"mirror": "m", "ports": ["a", "c"], "vlans": [10], "direction": "both", "to": "span"}
    assert json.loads(running.vswitch("show", "mirrors", "--json").stdout) == [row]
    table = running.vswitch("show", "mirrors").stdout
    assert table.split() == ["MIRROR", "PORTS", "VLANS", "DIRECTION", "TO", "m", "a", "c", "10", "both", "span"]
    again = running.vswitch("mirror", "add", "m", "--port", "a", "--to", "span")
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "`vswitch mirror del m`" in again.stderr
    loop = running.vswitch("mirror", "add", "n", "--port", "span", "--to", "b")
    assert loop.returncode != 0
    assert "port span is where mirror m sends to: watch another one" in loop.stderr
    frame = (BROADCAST + mac(1) + TYPE).hex()
    explained = running.vswitch("explain", "a", frame).stdout
    assert "mirror m to span" in explained
    answer = json.loads(running.vswitch("explain", "a", frame, "--json").stdout)
    assert [(step["mirror"], step["port"], step["reason"]) for step in answer["mirrors"]] == [("m", "span", None)] * 2
    impossible = {"x": {"interface": "nobody-has", "netns": lab.name("a")}}
    config = lab.config(VLANS, mirrors={"m": {"ports": ["b"], "to": "c"}})
    running.write({**config, "ports": {**config["ports"], **impossible}})
    assert running.vswitch("apply", str(running.file)).returncode == 1
    assert json.loads(running.vswitch("explain", "a", frame, "--json").stdout) == answer, "undone as one"
    gone = running.vswitch("port", "del", "span")
    assert gone.returncode != 0
    assert "mirrors.m.to: there is no port span" in gone.stderr
    assert running.vswitch("mirror", "del", "m").returncode == 0
    assert running.client.call("GET", "mirrors") == []
    nothing = running.vswitch("mirror", "del", "m")
    assert (nothing.returncode, nothing.stderr) == (2, "vswitch: there is no mirror m; the mirrors are none\n")
