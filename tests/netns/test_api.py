"""The API, the command line that is its client, and the metrics, of a real switch."""

from __future__ import annotations

import json
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.running import Running, until, vswitch
from vswitch import __version__
from vswitch.control.client import CallError
from vswitch.fastpath.twins import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.netns.conftest import Lab

BROADCAST, TYPE = b"\xff" * 6, b"\x88\xb5"


@pytest.fixture
def running(lab: Lab) -> Running:
    return lab.start({"a": {"access": 10}, "b": {"access": 10}, "c": {"trunk": [10, "20-29"], "native": 1}})


def test_show_ports_has_the_promised_shape(running: Running, lab: Lab) -> None:
    result = running.vswitch("show", "ports", "--json")
    rows = json.loads(result.stdout)
    row = rows[2]
    assert {key: row[key] for key in ("port", "attachment", "device", "state", "mtu", "vlan")} == {
        "port": "c",
        "attachment": "tap",
        "device": lab.name("c"),
        "state": "up",
        "mtu": 1500,
        "vlan": {"trunk": [10, "20-29"], "native": 1},
    }
    assert set(row["receive"]) == set(row["transmit"]) == {"bytes", "unicast", "multicast", "broadcast"}
    assert row["dropped"]["runt"] == 0
    assert (row["speed"], row["queue"]) == (10_000_000_000, {"length": 0, "limit": 512})


def test_show_fdb_and_vlans_have_the_promised_shape(running: Running) -> None:
    assert running.vswitch("fdb", "add", "52:54:00:A8:32:D7", "a", "--vlan", "10").returncode == 0
    rows = json.loads(running.vswitch("show", "fdb", "--json").stdout)
    static = [row for row in rows if row["kind"] == "static"]
    assert static == [{"mac": "52:54:00:a8:32:d7", "vlan": 10, "port": "a", "kind": "static", "age": 0.0}]
    vlans = json.loads(running.vswitch("show", "vlans", "--json").stdout)
    assert vlans[:2] == [
        {"vlan": 1, "tagged": [], "untagged": ["c"], "pvid": ["c"]},
        {"vlan": 10, "tagged": ["c"], "untagged": ["a", "b"], "pvid": ["a", "b"]},
    ]
    assert running.vswitch("fdb", "del", "52:54:00:a8:32:d7", "--vlan", "10").returncode == 0
    assert running.vswitch("fdb", "del", "52:54:00:a8:32:d7", "--vlan", "10").returncode == 2


def test_tables_are_plain_text_in_a_pipe(running: Running) -> None:
    for what in ("ports", "fdb", "vlans"):
        result = running.vswitch("show", what)
        assert result.returncode == 0
        assert "\x1b" not in result.stdout
        assert result.stdout.isupper() or len(result.stdout.splitlines()) >= 1


def test_ports_are_added_changed_and_removed(running: Running, lab: Lab) -> None:
    name = lab.name("d")
    add = (
        "port",
        "add",
        "d",
        "--tap",
        name,
        "--netns",
        name,
        "--address",
        "10.1.0.1/24,fd01::1/64",
        "--trunk",
        "10,20-22",
    )
    assert running.vswitch(*add) == vswitch_ok()
    assert running.ports()["d"]["vlan"] == {"trunk": [10, "20-22"]}
    assert running.vswitch("port", "set", "d", "--access", "20", "--no-trunk", "--isolated") == vswitch_ok()
    assert running.ports()["d"]["vlan"] == {"access": 20}
    assert running.client.call("GET", "config")["ports"]["d"]["isolated"] is True
    again = running.vswitch(*add)
    assert (again.returncode, again.stderr) == (
        1,
        "vswitch: there is a port d already; `vswitch port set d` changes it\n",
    )
    assert running.vswitch("port", "del", "d") == vswitch_ok()
    assert "d" not in running.ports()
    assert running.vswitch("port", "del", "d").returncode == 2


def test_calls_at_the_same_time_lose_none_of_their_changes(running: Running, lab: Lab) -> None:
    names = [f"x{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as callers:
        added = [
            callers.submit(running.client.call, "POST", "ports", {"name": name, **lab.tap(name)}) for name in names
        ]
        assert {call.result()["port"] for call in added} == set(names)
        assert set(names) < set(running.ports())
        macs = [f"02:00:00:00:01:{number:02x}" for number in range(20)]
        tied = [callers.submit(running.client.call, "POST", "fdb", {"mac": mac, "port": "a"}) for mac in macs]
        assert [call.result()["mac"] for call in tied] == macs
        gone = [callers.submit(running.client.call, "DELETE", f"ports/{name}") for name in names]
        assert [call.result() for call in gone] == [None] * len(names)
    assert set(running.ports()) == {"a", "b", "c"}
    assert {row["mac"] for row in running.client.call("GET", "fdb") if row["kind"] == "static"} == set(macs)


class vswitch_ok:  # noqa: N801
    """Equal to a command that did its work and said nothing."""

    def __eq__(self, other: object) -> bool:
        return (other.returncode, other.stdout, other.stderr) == (0, "", "")  # type: ignore[attr-defined]

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("port", "add", "x"), "exactly one attachment"),
        (("port", "add", "x", "--tap", "x", "--acess", "3"), "did you mean access?"),
        (("port", "set", "a", "--access", "4095"), "VLAN 4095 does not exist"),
        (("port", "set", "nope", "--access", "4"), "there is no port nope; the ports are a, b, c"),
        (("port", "set", "a", "word"), "'word' is not an option"),
        (("fdb", "add", "ff:ff:ff:ff:ff:ff", "a"), "group address"),
        (("fdb", "add", "02:00:00:00:00:01", "nope"), "there is no port nope"),
        (("fdb", "flush", "--port", "nope"), "there is no port nope"),
        (("explain", "a", "xyz"), "not hexadecimal"),
        (("explain", "nope", "00"), "there is no port nope"),
        (("show", "nonsense"), "to show; show ports, fdb, "),
    ],
)
def test_a_wrong_call_is_one_sentence_and_status_2(running: Running, arguments: tuple[str, ...], sentence: str) -> None:
    result = running.vswitch(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("vswitch: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_options_that_name_the_switch_may_stand_anywhere(running: Running) -> None:
    at = str(running.control)
    for call in (
        ("--control", at, "show", "ports"),
        ("show", "--control", at, "ports"),
        ("show", "ports", f"--control={at}"),
    ):
        assert vswitch(*call).returncode == 0
    gone = vswitch("show", "ports", "--control", "/nowhere.sock")
    assert gone.returncode == 1
    assert gone.stderr == "vswitch: no switch answers on /nowhere.sock; start one with `vswitch run FILE`\n"


def test_explain_says_rule_by_rule_what_happens_then(running: Running, lab: Lab) -> None:
    frame = "ffffffffffff 020000000001 88b5"
    answer = json.loads(running.vswitch("explain", "a", frame, "--json").stdout)
    assert (answer["verdict"], answer["reason"], answer["vlan"]) == ("forwarded", None, 10)
    octets = "ffffffffffff02000000000188b5"
    assert {port["port"]: port["frames"] for port in answer["ports"] if port["frames"]} == {
        "b": [octets.ljust(120, "0")],
        "c": [("ffffffffffff0200000000018100000a88b5").ljust(128, "0")],
    }
    with lab.guest("a").wire(lab.name("a")) as wire:
        wire.send(bytes.fromhex("ffffffffffff 020000000001 8100 0014 88b5"))
    until(lambda: running.dropped("a").get("vlan_filtered") == 1, "the drop to be counted")
    dropped = json.loads(running.vswitch("explain", "a", "ffffffffffff020000000001 8100001488b5", "--json").stdout)
    assert (dropped["verdict"], dropped["reason"]) == ("dropped", "vlan_filtered")
    assert "vlan_filtered" in running.vswitch("explain", "a", "ffffffffffff020000000001 8100001488b5").stdout
    assert running.dropped("a").get("vlan_filtered") == 1, "explaining counts nothing"


def test_the_api_describes_itself(running: Running) -> None:
    document = running.client.call("GET", "openapi.json")
    assert document["openapi"].startswith("3.1")
    assert document["paths"]["/v1/ports"]["get"]["responses"]["200"]
    missing = [ref for ref in references(document) if not resolves(document, ref)]
    assert missing == []


def references(node: Any) -> Iterable[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolves(document: Any, ref: str) -> bool:
    for part in ref.removeprefix("#/").split("/"):
        if part not in document:
            return False
        document = document[part]
    return True


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/nothing", b"", 404),
        ("DELETE", "/v1/ports", b"", 405),
        ("POST", "/v1/ports", b"not JSON", 400),
        ("POST", "/v1/ports", b"[]", 400),
        ("POST", "/v1/ports", b"{}", 400),
        ("PUT", "/v1/config", b'{"name": 1}', 400),
        ("POST", "/v1/explain", b'{"port": "a"}', 400),
        ("POST", "/v1/explain", b'{"port": "\\ud800", "frame": "00"}', 400),
        ("POST", "/v1/ports", b'{"name": "\\ud800", "tap": "x"}', 400),
        ("POST", "/v1/explain", b'{"port": "a", "frame": "00", "more": 1}', 400),
        ("GET", "/v1/fdb?vlan=x", b"", 400),
        ("GET", "/v1/fdb?vlan=99999", b"", 400),
        ("GET", "/v1/fdb?mac=x", b"", 400),
        ("GET", "/v1/explain/recent?last=-1", b"", 400),
        ("GET", "/v1/explain/recent?last=1e3", b"", 400),
        ("GET", "/v1/flows?limit=0", b"", 400),
        ("DELETE", "/v1/fdb/x/02:00:00:00:00:01", b"", 400),
        ("POST", "/v1/ports", b"[" * 100_000, 400),
    ],
)
def test_the_api_refuses_with_a_sentence(running: Running, method: str, path: str, body: bytes, status: int) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as raw:
        raw.connect(str(running.control))
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        raw.sendall(head.encode() + body)
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    status_line, _, content = answer.partition(b"\r\n\r\n")
    assert int(status_line.split()[1]) == status
    assert json.loads(content)["error"]
    assert b"invalid literal" not in content, "a sentence of Python's"
    assert running.client.call("GET", "switch")["ports"] == 3


def scrape(port: int, accept: str = "*/*") -> tuple[str, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read().decode(), response.headers["Content-Type"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_metrics_are_the_counters(lab: Lab, three: Callable[..., Running]) -> None:
    port = free_port()
    running = three(metrics={"listen": f"127.0.0.1:{port}"})
    assert lab.guest("a").ping("10.88.0.2") is not None
    with lab.guest("c").wire(lab.name("c")) as wire:
        wire.send(bytes.fromhex("0180c200000e020000000003 88cc") + bytes(46))
    until(lambda: running.dropped("c") == {"reserved_address": 1}, "the drop")
    samples = {
        (sample.name, *(value for key, value in sorted(sample.labels.items()) if key != "switch")): sample.value
        for family in parse_text(scrape(port)[0])
        for sample in family.samples
    }
    assert {dict(s.labels).get("switch", lab.tag) for f in parse_text(scrape(port)[0]) for s in f.samples} == {lab.tag}
    assert samples["vswitch_port_dropped_frames_total", "c", "reserved_address"] == 1
    assert samples["vswitch_port_up", "a"] == 1
    assert samples["vswitch_fdb_entries", "1"] >= 2
    assert samples["vswitch_fdb_moves_total",] == 0
    assert samples["vswitch_build_info", choose().name, __version__] == 1
    row = running.ports()["a"]
    for direction in ("receive", "transmit"):
        for cast in ("unicast", "multicast", "broadcast"):
            assert samples[f"vswitch_port_{direction}_frames_total", cast, "a"] <= row[direction][cast]
        assert 0 < samples[f"vswitch_port_{direction}_bytes_total", "a"] <= row[direction]["bytes"]


def test_metrics_speak_openmetrics_to_who_asks(lab: Lab) -> None:
    port = free_port()
    running = lab.start({"a": {}}, metrics={"listen": f"127.0.0.1:{port}"})
    text, kind = scrape(port, "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    families = openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    assert {family.name for family in families} >= {
        "vswitch_port_receive_bytes",
        "vswitch_build",
    }
    moved = free_port()
    running.write(lab.config({"a": {}}, metrics={"listen": f"127.0.0.1:{moved}"}))
    assert running.vswitch("apply", str(running.file)).returncode == 0
    assert scrape(moved)[0]
    with pytest.raises(OSError, match="refused"):
        scrape(port)


def test_an_address_that_is_taken_is_refused_and_nothing_changes(lab: Lab) -> None:
    running = lab.start({"a": {}})
    with socket.create_server(("127.0.0.1", 0)) as server:
        listen = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(CallError, match="cannot listen"):
            running.client.call(
                "PUT",
                "config",
                {**lab.config({"a": {}, "b": {}}), "control": str(running.control), "metrics": {"listen": listen}},
            )
    assert set(running.ports()) == {"a"}
