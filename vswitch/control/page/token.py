"""The token of the page, and the names that the page goes by: how they are written, and read from a file.

No sentence of this module quotes a token: what is wrong with one is told without it.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~-]{16,128}")
"""Of what a bearer token (RFC 6750, 2.1) and the name of a WebSocket's subprotocol (RFC 6455, 4.1) both may have."""

_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,62})(\.[a-z0-9]([a-z0-9-]{0,62}))*")
_MOST: Final = 1024
"""Octets of a file with a token."""


class TokenError(Exception):
    """There is no token to be had: one sentence."""


def parse_token(value: object) -> str:
    """A token. Raises ValueError."""
    if isinstance(value, str) and _TOKEN.fullmatch(value):
        return value
    raise ValueError("a token has 16 to 128 letters, digits and . _ ~ -, such as `openssl rand -hex 16` prints")


def parse_token_file(value: object) -> str:
    """The absolute path of a file. Raises ValueError."""
    if isinstance(value, str) and value.startswith("/") and value.isprintable() and len(value) < 4096:
        return value
    raise ValueError("a token_file is an absolute path, such as /etc/vswitch/page.token")


def parse_hosts(value: object) -> tuple[str, ...]:
    """Names of a host, one or several. Raises ValueError."""
    names = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name.lower()):
            raise ValueError("hosts are names, such as lab.example.org, without a port")
    return tuple(name.lower() for name in names)


def read_token(path: str) -> str:
    """The token in a file, which nobody but its owner and group may read. Raises TokenError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise TokenError(f"page: cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise TokenError(f"page: {path} is no file")
        if mode & stat.S_IROTH:
            raise TokenError(f"page: everybody can read {path}; say `chmod o-r {path}`, and take another token")
        octets = os.read(descriptor, _MOST)
    except OSError as error:
        raise TokenError(f"page: cannot read {path}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    try:
        return parse_token(octets.decode(errors="replace").strip())
    except ValueError as error:
        raise TokenError(f"page: in {path} there is no token: {error}") from None


Token = Annotated[str, BeforeValidator(parse_token), WithJsonSchema({"type": "string", "minLength": 16})]
TokenFile = Annotated[
    str, BeforeValidator(parse_token_file), WithJsonSchema({"type": "string", "examples": ["/etc/vswitch/page.token"]})
]
HostNames = Annotated[
    tuple[str, ...],
    BeforeValidator(parse_hosts),
    WithJsonSchema({"type": ["array", "string"], "items": {"type": "string"}, "examples": [["lab.example.org"]]}),
]
