"""What the switch and the process that serves its metrics say to each other: messages on a pair of sockets.

A message is its length and the octets of `marshal`, which both ends trust: they are one program.
"""

from __future__ import annotations

import asyncio
import marshal
import struct
from typing import Any, Final

_LENGTH: Final = struct.Struct("=I")

SNAPSHOT: Final = "snapshot"
"""What the server asks for; the answer is a (group, rows) a message, and None at the end."""


async def receive(reader: asyncio.StreamReader) -> Any:
    """The next message. Raises EOFError where there is no other end any more."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return marshal.loads(await reader.readexactly(length))  # noqa: S302
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise EOFError from error


def send(writer: asyncio.StreamWriter, message: Any) -> None:
    """Send what `marshal` takes."""
    octets = marshal.dumps(message)
    writer.write(_LENGTH.pack(len(octets)) + octets)
