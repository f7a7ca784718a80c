"""What a browser does with the page, and what no browser would: calls and a WebSocket (RFC 6455) on plain sockets."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from http.client import HTTPConnection
from typing import Any, Final, NamedTuple

from tests.running import PATIENCE

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
TOKEN: Final = "a-token-for-tests-alone"


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Answer(NamedTuple):
    """Of a call."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Browser:
    """One that was given the address of a page."""

    def __init__(self, port: int, token: str | None = None, host: str = "127.0.0.1") -> None:
        self.port = port
        self.host = host
        self.token = token
        self.name = f"{host}:{port}"

    def connect(self) -> socket.socket:
        """Nothing is said yet."""
        return socket.create_connection((self.host, self.port), PATIENCE)

    def call(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        """A call, and its answer."""
        connection = HTTPConnection(self.host, self.port, timeout=PATIENCE)
        own = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        content = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        try:
            connection.request(method, path, content, {"Host": self.name, **own, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        """Read something."""
        return self.call("GET", path, headers=headers)

    def live(self, **headers: str | None) -> Live:
        """The WebSocket, if the switch agrees."""
        return Live(self, headers)


class Live:
    """A WebSocket."""

    def __init__(self, browser: Browser, headers: dict[str, str | None]) -> None:
        words = ["vswitch.v1", *([f"token.{browser.token}"] if browser.token else [])]
        given: dict[str, str | None] = {
            "Host": browser.name,
            "Origin": f"http://{browser.name}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": ", ".join(words),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        self.socket = browser.connect()
        lines = ["GET /v1/live HTTP/1.1", *(f"{name}: {value}" for name, value in given.items() if value is not None)]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._octets = b""
        while b"\r\n\r\n" not in self._octets and (more := self.socket.recv(65536)):
            self._octets += more
        head, _, self._octets = self._octets.partition(b"\r\n\r\n")
        self.head = head.decode()
        self.status = int(self.head.split()[1])

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def frame(self, opcode: int, payload: bytes = b"", *, final: bool = True) -> None:
        """Send one frame, masked as a browser has to."""
        length = len(payload)
        head = bytes([opcode | (0x80 if final else 0)])
        if length < 126:
            head += bytes([0x80 | length])
        else:
            head += struct.pack("!BH", 0xFE, length) if length < 1 << 16 else struct.pack("!BQ", 0xFF, length)
        self.socket.sendall(head + bytes(4) + payload)  # a mask of zeros changes nothing

    def ask(self, **asked: object) -> None:
        """Send a message."""
        self.frame(TEXT, json.dumps(asked).encode())

    def received(self) -> tuple[int, bytes] | None:
        """The next frame; None where the connection is closed."""
        try:
            head = self._take(2)
            length = head[1] & 127
            if length > 125:
                length = int.from_bytes(self._take(2 if length == 126 else 8))
            return head[0] & 15, self._take(length)
        except (EOFError, ConnectionError):
            return None

    def _take(self, count: int) -> bytes:
        while len(self._octets) < count:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self._octets += more
        taken, self._octets = self._octets[:count], self._octets[count:]
        return taken

    def next(self, kind: str) -> dict[str, Any]:
        """The next message of this type; others are passed over, pings answered."""
        while True:
            received = self.received()
            assert received is not None, f"the switch closed the connection before it said {kind}"
            opcode, payload = received
            assert opcode != CLOSE, f"the switch said goodbye ({payload!r}) before it said {kind}"
            if opcode == PING:
                self.frame(PONG, payload)
            elif opcode == TEXT:
                message: dict[str, Any] = json.loads(payload)
                if message["type"] == kind:
                    return message

    def closed(self) -> int:
        """The code with which the switch closes; 0 where it says nothing."""
        while (received := self.received()) is not None:
            if received[0] == CLOSE:
                return int.from_bytes(received[1][:2])
        return 0
