"""The API from outside: HTTP on a Unix socket by the standard library, since a command has to answer at once."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from vswitch.control.place import control_socket, is_ours, runtime_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.client import HTTPResponse
    from pathlib import Path

T = TypeVar("T")

TIMEOUT = 30.0  # seconds
_CHUNK = 1 << 20  # octets


class CallError(Exception):
    """A call that did not come off: one sentence, and the exit status that goes with it."""

    def __init__(self, sentence: str, status: int = 1, problems: list[str] | None = None) -> None:
        """status: 1 where it failed, 2 where the call was wrong."""
        super().__init__(sentence)
        self.status = status
        self.problems = problems or []


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, descriptor: int | None, timeout: float) -> None:
        super().__init__("vswitch", timeout=timeout)
        self._path = path
        self._descriptor = descriptor

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

    def send(self, data: Any) -> None:
        """The descriptor goes beside the first octet."""
        if self.sock is None:
            self.connect()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            socket.send_fds(self.sock, [data[:1]], [descriptor])
            data = data[1:]
        super().send(data)


class Client:
    """Calls to one running switch."""

    def __init__(self, path: Path, *, timeout: float = TIMEOUT) -> None:
        """path: its control socket.  timeout: seconds that an answer may take."""
        self.path = path
        self._timeout = timeout

    def call(self, method: str, path: str, body: object = None, *, fd: int | None = None, **query: object) -> Any:
        """What the switch answers, as JSON. fd: a descriptor to hand over with the call. Raises CallError."""
        connection = _UnixConnection(self.path, fd, self._timeout)
        try:
            content = None if body is None else json.dumps(body)
            answer = self._answer(connection, method, _target(path, query), content)
            octets = self._reaching(answer.read)
        finally:
            connection.close()
        return json.loads(octets) if octets else None

    def _answer(self, connection: HTTPConnection, method: str, target: str, content: str | None = None) -> HTTPResponse:
        """The begin of the answer, which is no refusal. Raises CallError."""
        self._reaching(lambda: connection.request(method, target, content, {"Content-Type": "application/json"}))
        response = self._reaching(connection.getresponse)
        if response.status >= 400:
            data = json.loads(self._reaching(response.read))
            status = 2 if response.status in (400, 404, 405, 422) else 1
            raise CallError(data["error"], status, data.get("problems", []))
        return response

    def _reaching(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except PermissionError:
            raise CallError(f"no permission for {self.path}: call as its owner, or as a member of its group") from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise CallError(f"no switch answers on {self.path}; start one with `vswitch run FILE`") from None
        except (OSError, HTTPException) as error:
            raise CallError(f"the switch on {self.path} does not answer: {error}") from error

    def stream(self, path: str, **query: object) -> Stream:
        """What the switch answers, octets as they come, for as long as it takes. Raises CallError, at once or later."""
        connection = _UnixConnection(self.path, None, self._timeout)
        try:
            response = self._answer(connection, "GET", _target(path, query))
        except CallError:
            connection.close()
            raise
        return Stream(connection, response, self._reaching)


class Stream:
    """An answer that goes on: an iterator of octets, which ends when the switch ends it, or by `close`."""

    def __init__(
        self,
        connection: HTTPConnection,
        response: HTTPResponse,
        reaching: Callable[[Callable[[], bytes]], bytes],
    ) -> None:
        """reaching: does a step, and raises CallError where it fails."""
        self._connection = connection
        self._response = response
        self._reaching = reaching
        self._socket: socket.socket | None = connection.sock
        self._closed = False
        if self._socket is not None:
            self._socket.settimeout(None)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """The next octets. Raises CallError where the switch is lost."""
        try:
            octets = b"" if self._closed else self._reaching(partial(self._response.read1, _CHUNK))
        except CallError:
            if not self._closed:
                self._connection.close()
                raise
            octets = b""
        if not octets:
            self._connection.close()
            raise StopIteration
        return octets

    def close(self) -> None:
        """End it, from any thread: one that waits for octets waits no longer."""
        self._closed = True
        if self._socket is not None:
            with suppress(OSError):  # it ended by itself
                self._socket.shutdown(socket.SHUT_RDWR)


def _target(path: str, query: dict[str, object]) -> str:
    asked = {key: value for key, value in query.items() if value is not None}
    return quote(f"/v1/{path}") + (f"?{urlencode(asked, doseq=True)}" if asked else "")


def running() -> list[Path]:
    """The control sockets of this user's runtime directory behind which somebody listens.

    Each has a lock beside it. Others, such as those for virtual machines, are not to be called: they would answer.
    """
    folder = runtime_directory()
    sockets = (lock.with_suffix(".sock") for lock in (folder.glob("*.lock") if is_ours(folder) else ()))
    return [path for path in sorted(sockets) if listens(path)]


def find(name: str | None, control: Path | None) -> Client:
    """The switch that is meant: the one named, or the only one that runs. Raises CallError."""
    if control is not None:
        return Client(control)
    if name is not None:
        return Client(control_socket(name))
    sockets = running()
    if not sockets:
        raise CallError(f"no switch runs (looked in {runtime_directory()}); start one with `vswitch run FILE`")
    if len(sockets) > 1:
        names = ", ".join(path.stem for path in sockets)
        raise CallError(f"several switches run ({names}); say which with --switch NAME", 2)
    return Client(sockets[0])


def listens(path: Path) -> bool:
    """Whether somebody is behind this socket; one that a switch died over is still there."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
