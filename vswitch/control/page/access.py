"""Who may do what on the page's address, which any program of the machine and any web site in a browser can call.

A web site may have its own name lead to this machine (DNS rebinding): its browser then says that name as Host. It may
send calls across sites: they say its Origin. Neither gets an answer. What changes the switch or shows octets of frames
needs the token, which a browser never adds by itself.
"""

from __future__ import annotations

import hmac
import re
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs

if TYPE_CHECKING:
    from aiohttp import web

    from vswitch.control.config.schema import PageConfig

PROTOCOL: Final = "vswitch.v1"
"""The subprotocol of the WebSocket; beside it a page offers `token.` with its token, the one place it has for that."""

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "vswitch",
}
"""Of every answer. None lets another origin read it (CORS)."""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::[0-9]{1,5})?")


class RefusedError(Exception):
    """This caller is not answered: a status, and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        """status: of HTTP."""
        super().__init__(sentence)
        self.status = status


class Access:
    """The rules of one listener."""

    def __init__(self, config: PageConfig, token: str | None) -> None:
        """token: that of the configuration, or of its file."""
        self._token = None if token is None else token.encode()
        self._names = frozenset(("localhost", *config.hosts))
        self._readable = config.private

    def __eq__(self, other: object) -> bool:
        """Whether the rules are the same."""
        return isinstance(other, Access) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def meet(self, request: web.Request) -> None:
        """See that a call is meant for this address, and comes from no other site. Raises RefusedError."""
        named = request.headers.getall(hdrs.HOST, [])
        found = _HOST.fullmatch(named[0]) if len(named) == 1 else None
        if found is None or not self._is_here(found[1].lower(), request):
            raise RefusedError(421, "the page does not go by that name; `page.hosts` of the configuration adds one")
        origins = request.headers.getall(hdrs.ORIGIN, [])
        host = named[0].lower()
        if any(origin.lower() not in (f"http://{host}", f"https://{host}") for origin in origins):
            raise RefusedError(403, "another web site may not call the switch")

    def _is_here(self, name: str, request: web.Request) -> bool:
        if name in self._names:
            return True
        here = request.get_extra_info("sockname")
        try:
            asked, address = ip_address(name.strip("[]")), ip_address(here[0].partition("%")[0])
        except (ValueError, TypeError):
            return False
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return asked in (address, mapped)

    def admit(self, request: web.Request, *, open_to_all: bool) -> bool:
        """Whether the caller has the token. Raises RefusedError where it is needed, or where there is a wrong one."""
        given = _given(request)
        if given is not None:
            if self._token is not None and hmac.compare_digest(given.encode(errors="replace"), self._token):
                return True
            raise RefusedError(401, "this is not the token of the switch")
        if open_to_all and self._readable:
            return False
        if self._token is None:
            raise RefusedError(
                401, "this needs a token, and the page has none: add `page.token_file` to the configuration"
            )
        raise RefusedError(401, "this needs the page's token, as `Authorization: Bearer TOKEN`")


def _given(request: web.Request) -> str | None:
    """The token that came with a call, be it right or wrong."""
    if (header := request.headers.get(hdrs.AUTHORIZATION)) is not None:
        scheme, _, token = header.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""
    offered = ",".join(request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, []))
    tokens = [word.strip().removeprefix("token.") for word in offered.split(",") if word.strip().startswith("token.")]
    return tokens[0] if tokens else None
