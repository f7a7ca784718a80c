"""The page of a real switch, called by those who should not."""

from __future__ import annotations

import gzip
import socket
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import BINARY, TEXT, TOKEN, Browser, free_port
from tests.running import Running, until
from vswitch.control.api.table import ROUTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.netns.conftest import Lab

HEX = "ffffffffffff02000000000188b5"
OPEN = {
    ("GET", "/v1/switch"), ("GET", "/v1/ports"), ("GET", "/v1/ports/{port}"), ("GET", "/v1/ports/{port}/guest"),
    ("GET", "/v1/fdb"), ("GET", "/v1/vlans"), ("GET", "/v1/flows"), ("GET", "/v1/history"), ("GET", "/v1/mirrors"),
    ("POST", "/v1/explain"),
}  # fmt: skip
"""What the page answers without its token. Look twice before you add to it: every web user of the machine may ask."""


@pytest.fixture
def page(lab: Lab) -> Browser:
    """A browser without the token."""
    port = free_port()
    lab.start({"a": {}, "b": {}}, page={"listen": f"127.0.0.1:{port}", "token": TOKEN})
    return Browser(port)


def path(template: str) -> str:
    return template.format(port="a", vlan="1", mac="02:00:00:00:00:01", mirror="m")


def test_which_routes_need_the_token() -> None:
    assert {(route.method, route.path) for route in ROUTES if route.open} == OPEN


def test_no_route_but_the_open_ones_answers_without_the_token(page: Browser, lab: Lab) -> None:
    before = lab.running[0].client.call("GET", "config")
    for route in ROUTES:
        for headers in ({}, {"Authorization": "Bearer wrong-token-of-any-kind"}, {"Authorization": "Basic YTpi"}):
            is_open = (route.method, route.path) in OPEN and not headers
            answer = page.call(route.method, path(route.path), {"port": "a", "frame": HEX}, headers)
            if is_open:
                assert answer.status not in (401, 403, 405, 500), route.path
            else:
                assert answer.status == 401, (route.method, route.path, headers)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert answer.json["error"]
    assert lab.running[0].client.call("GET", "config") == before


def test_the_token_opens_every_route(page: Browser) -> None:
    with_token = Browser(page.port, TOKEN)
    assert with_token.get("/v1/config").json["page"]["token"] == TOKEN
    assert with_token.call("POST", "/v1/fdb", {"mac": "02:00:00:00:00:01", "port": "a"}).status == 201
    assert with_token.call("DELETE", "/v1/fdb/1/02:00:00:00:00:01").status == 204
    assert with_token.get("/v1/explain/recent").status == 200
    assert with_token.get("/v1/capture?seconds=0.1").body[:4] == b"\n\r\r\n"


def test_a_page_without_token_is_read_only(lab: Lab) -> None:
    port = free_port()
    lab.start({"a": {}}, page={"listen": f"127.0.0.1:{port}"})
    assert Browser(port).get("/v1/ports").status == 200
    for token in (None, "", TOKEN, "None"):
        answer = Browser(port, token).get("/v1/config")
        assert answer.status == 401
    with Browser(port).live() as live:
        assert live.next("hello")["may"] == ["explain"]
        live.ask(frames="a")
        assert "token" in live.next("error")["message"]


def test_another_name_than_its_own_is_not_answered(page: Browser) -> None:
    """DNS rebinding: a web site's name leads here, and its browser says that name."""
    for name in ("evil.example", f"evil.example:{page.port}", "localhost.evil.example", "127.0.0.2", "[::1]", "", "a b",
                 "localhost@evil.example", "127.0.0.1.evil.example", "0x7f.1", "localhost."):  # fmt: skip
        for where in ("/", "/static/app.js", "/v1/switch", "/v1/openapi.json", "/v1/live", "/nothing"):
            answer = Browser(page.port, TOKEN).get(where, Host=name)
            assert answer.status in (421, 400), (name, where)
            assert b"vswitch" not in answer.body
    for name in ("localhost", "LocalHost:80", f"127.0.0.1:{page.port}", "127.0.0.1"):
        assert page.get("/v1/switch", Host=name).status == 200


def test_two_names_or_none_are_not_answered(page: Browser) -> None:
    for lines in ("", f"Host: {page.name}\r\nHost: evil.example\r\n"):
        with closing(page.connect()) as raw:
            raw.sendall(f"GET /v1/switch HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
            assert raw.recv(65536).split()[1] in (b"421", b"400")


def test_another_name_is_answered_where_the_configuration_has_it(lab: Lab) -> None:
    port = free_port()
    lab.start({"a": {}}, page={"listen": f"127.0.0.1:{port}", "token": TOKEN, "hosts": ["Lab.Example.org"]})
    page = Browser(port)
    assert page.get("/v1/switch", Host="lab.example.org").status == 200
    assert page.get("/v1/switch", Host="lab.example.org", Origin="https://lab.example.org").status == 200
    assert page.get("/v1/switch", Host="example.org").status == 421


def test_another_site_is_not_answered(page: Browser) -> None:
    trusted = Browser(page.port, TOKEN)
    for origin in ("http://evil.example", "null", "http://127.0.0.1", f"http://localhost:{page.port}",
                   "", f"http://{page.name}.evil.example", f"ftp://{page.name}",
                   f"http://127.0.0.1:{page.port + 1}"):  # fmt: skip
        assert trusted.get("/v1/switch", Origin=origin).status == 403, origin
        assert trusted.call("POST", "/v1/fdb/flush", {}, {"Origin": origin}).status == 403, origin
        with trusted.live(Origin=origin) as live:
            assert live.status == 403, origin
    with trusted.live(Origin=None) as live:
        assert live.status == 403
    assert trusted.get("/v1/switch", Origin=f"http://{page.name}").status == 200


def test_no_answer_allows_another_site_to_read_it(page: Browser) -> None:
    preflight = {"Origin": f"http://{page.name}", "Access-Control-Request-Method": "PUT"}
    answers = [
        page.get("/"), page.get("/v1/switch"), page.get("/v1/config"), page.get("/nothing"), page.get("/v1/live"),
        page.get("/v1/ports", Host="evil.example"), page.call("OPTIONS", "/v1/config", headers=preflight),
    ]  # fmt: skip
    for answer in answers:
        names = {name.lower() for name in answer.headers}
        assert not [name for name in names if name.startswith("access-control")]
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answers[-1].status in (403, 405)


def test_the_websocket_takes_the_token_as_a_subprotocol(page: Browser) -> None:
    with Browser(page.port, TOKEN).live() as live:
        assert live.status == 101
        assert "Sec-WebSocket-Protocol: vswitch.v1\r\n" in f"{live.head}\r\n"
        assert TOKEN not in live.head
        assert {"explain", "capture", "change"} <= set(live.next("hello")["may"])
    with Browser(page.port, "another-token-of-that-length").live() as live:
        assert live.status == 401
    with page.live() as live:
        assert live.next("hello")["may"] == ["explain"]


OTHER_FILES = (
    "..%2f..%2fetc/passwd", "../web.py", "%2e%2e/web.py", "..%2fweb.py", "....//web.py", "%00", "/etc/passwd",
    "%2fetc%2fpasswd", "..\\web.py", "index.html%00.png", "a/../../web.py", "%c0%ae%c0%ae/web.py", "", ".",
)  # fmt: skip


def test_nothing_but_the_files_of_the_page_is_served(page: Browser) -> None:
    for name in OTHER_FILES:
        with closing(page.connect()) as raw:
            raw.sendall(f"GET /static/{name} HTTP/1.1\r\nHost: {page.name}\r\nConnection: close\r\n\r\n".encode())
            octets = b"".join(iter(partial(raw.recv, 65536), b""))
        assert octets.split()[1] in (b"404", b"400"), name
        assert b"import" not in octets
        assert b"root:" not in octets


def resident(running: Running) -> int:
    """Octets of memory of the switch."""
    assert running.process is not None
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def descriptors(running: Running) -> int:
    assert running.process is not None
    return len(list(Path(f"/proc/{running.process.pid}/fd").iterdir()))


def poured(page: Browser, head: bytes, chunk: bytes, most: int) -> int:
    """How much of an endless request the switch takes before it lets the caller go, `most` octets at most."""
    sent = 0
    with closing(page.connect()) as raw:
        try:
            raw.sendall(head)
            while sent < most:
                raw.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass
    return sent


def test_requests_without_end_are_cut_off(page: Browser, lab: Lab) -> None:
    before = resident(lab.running[0])
    most = 2 << 30  # far more than it can read in the half second that it reads on
    host = f"Host: {page.name}\r\n".encode()
    assert poured(page, b"GET /", b"a" * 65536, most) < most
    assert poured(page, b"GET / HTTP/1.1\r\n" + host + b"X: ", b"a" * 65536, most) < most
    assert poured(page, b"GET / HTTP/1.1\r\n" + host, b"X-A: " + b"a" * 4000 + b"\r\n", most) < most
    body = b"POST /v1/explain HTTP/1.1\r\n" + host + b"Content-Length: 99999999999\r\n\r\n"
    assert poured(page, body, b"a" * 65536, most) < most
    chunked = b"POST /v1/explain HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n"
    assert poured(page, chunked, b"10000\r\n" + b"a" * 65536 + b"\r\n", most) < most
    assert resident(lab.running[0]) - before < 32 << 20
    assert page.get("/v1/switch").status == 200


def test_a_call_without_token_may_carry_little(page: Browser) -> None:
    large = {"port": "a", "frame": "00" * 99_000, "more": "x" * 200_000}
    assert page.call("POST", "/v1/explain", large).status == 413
    assert Browser(page.port, TOKEN).call("POST", "/v1/explain", large).status == 400, "read, and not understood"


def test_a_compressed_body_is_not_blown_up(page: Browser) -> None:
    bomb = gzip.compress(b"0" * (64 << 20))
    answer = page.call("POST", "/v1/explain", bomb, {"Content-Encoding": "gzip"})
    assert answer.status == 400


GARBAGE = {
    "a length of 2**63": b"\x81\xff" + b"\xff" * 8 + b"\0" * 4,
    "a message that is too long": b"\x81\xff" + (1 << 20).to_bytes(8) + b"\0" * 4 + b"a" * 100,
    "an opcode that is none": b"\x83\x80\0\0\0\0",
    "reserved bits": b"\xf1\x80\0\0\0\0",
    "no UTF-8": b"\x81\x82\0\0\0\0\xff\xfe",
    "a long ping": b"\x89\xfe\x10\x00\0\0\0\0" + b"a" * 4096,
    "a ping in parts": b"\x09\x80\0\0\0\0",
    "a continuation of nothing": b"\x80\x80\0\0\0\0",
    "a close of one octet": b"\x88\x81\0\0\0\0\x03",
    "no WebSocket at all": b"GET / HTTP/1.1\r\n\r\n",
}


def test_garbage_on_the_websocket_ends_it_and_nothing_else(page: Browser) -> None:
    with page.live() as other:
        with page.live() as live:
            live.frame(TEXT, b" " * 5000)
            assert live.closed() == 1009
        for what, octets in GARBAGE.items():
            with page.live() as live:
                live.socket.sendall(octets)
                assert live.closed() in (0, 1002, 1007, 1009), what
            other.next("state")


def test_messages_that_are_not_understood_are_told_of(page: Browser) -> None:
    with page.live() as live:
        for text in ("", "{", "[]", "1", '{"interval": 0}', '{"interval": 1e999}', '{"interval": NaN}', '{"what": 1}',
                     '{"interval": "x"}', "[" * 4000, '{"frames": 7}'):  # fmt: skip
            live.frame(TEXT, text.encode())
            message = live.next("error")["message"]
            assert 0 < len(message) < 400
            assert "\n" not in message
        live.frame(BINARY, b"{}")
        live.next("error")
        live.ask(interval=0.25)
        assert live.next("state")["ports"]


def test_one_who_sends_without_end_holds_nobody_up(page: Browser) -> None:
    with page.live() as loud, page.live() as other:
        loud.socket.setblocking(False)
        text = b'{"interval": 5}'
        many = (b"\x81" + bytes([0x80 | len(text)]) + bytes(4) + text) * 1000
        for _ in range(3):
            for _ in range(20):
                try:
                    loud.socket.send(many)
                except BlockingIOError:
                    break
            other.next("state")


def test_two_hundred_connections(page: Browser, lab: Lab) -> None:
    """Those that say nothing make room for those that do."""
    with ExitStack() as stack:
        before = descriptors(lab.running[0])
        silent = [stack.enter_context(closing(page.connect())) for _ in range(200)]
        viewers = [stack.enter_context(page.live()) for _ in range(20)]
        for viewer in viewers:
            viewer.next("state")
        assert page.get("/v1/switch").status == 200
        assert descriptors(lab.running[0]) - before <= 200
        silent[-1].sendall(f"GET /v1/switch HTTP/1.1\r\nHost: {page.name}\r\n\r\n".encode())
        silent[-1].recv(65536)
    until(lambda: descriptors(lab.running[0]) <= before, "the connections to be closed")


def test_so_many_may_look_and_no_more(page: Browser) -> None:
    with ExitStack() as stack:
        viewers = [stack.enter_context(page.live()) for _ in range(64)]
        viewers[-1].next("state")
        with page.live() as refused:
            assert refused.status == 503
        viewers.pop().socket.close()

        def let_in() -> bool:
            with page.live() as live:
                return live.status == 101

        until(let_in, "one more to be let in")


def test_one_who_is_busy_is_not_put_out(page: Browser) -> None:
    with page.live() as live, ExitStack() as stack:
        live.next("state")
        for _ in range(250):
            stack.enter_context(closing(page.connect()))
        assert page.get("/v1/switch").status == 200
        for _ in range(3):
            live.next("state")


def test_beyond_loopback_nobody_sees_anything_without_the_token(lab: Lab) -> None:
    port = free_port()
    lab.start({"a": {}}, page={"listen": f"0.0.0.0:{port}", "token": TOKEN})
    assert Browser(port).get("/v1/switch").status == 401
    assert Browser(port).get("/v1/openapi.json").status == 401
    with Browser(port).live() as live:
        assert live.status == 401
    assert Browser(port, TOKEN).get("/v1/switch").status == 200
    assert Browser(port, TOKEN, "127.0.0.2").get("/v1/switch").status == 200, "that address is one of its own, too"
    with Browser(port, TOKEN).live() as live:
        live.next("state")


@pytest.fixture
def ipv6(lab: Lab) -> Callable[[str], Browser]:
    if not socket.has_ipv6:
        pytest.skip("needs IPv6")

    def start(listen: str) -> Browser:
        port = free_port()
        lab.start({"a": {}}, page={"listen": listen.format(port), "token": TOKEN})
        return Browser(port, TOKEN)

    return start


def test_all_addresses_of_both_families(ipv6: Callable[[str], Browser]) -> None:
    page = ipv6(":{}")
    assert page.get("/v1/switch").status == 200
    with closing(socket.create_connection(("::1", page.port), 10)) as raw:
        raw.sendall(
            f"GET /v1/switch HTTP/1.1\r\nHost: [::1]:{page.port}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        assert raw.recv(65536).split()[1] == b"200"
