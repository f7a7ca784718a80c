"""The files of the page: read once when it begins to listen, and served by their names and no others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "txt": "text/plain; charset=utf-8",
    "woff2": "font/woff2",
}
"""Media types by what a name ends in; other files are not served."""

INDEX: Final = "index.html"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    octets: bytes
    media: str
    etag: str


class Assets:
    """All of them."""

    def __init__(self, folder: Traversable | None = None) -> None:
        """Those of a folder; by default those that came with this package. Raises OSError."""
        folder = folder or resources.files("vswitch.control.page") / "site"
        self._files = dict(_files(folder, "")) if folder.is_dir() else {}

    def __iter__(self) -> Iterator[str]:
        """Their names."""
        return iter(self._files)

    def answer(self, name: str, request: web.Request) -> web.Response:
        """A file, or that it is the one that the browser has. Raises HTTPNotFound."""
        asset = self._files.get(name)
        if asset is None:
            raise web.HTTPNotFound
        headers = {"ETag": f'"{asset.etag}"', "Cache-Control": "no-cache"}
        if any(known.value in (asset.etag, "*") for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=asset.octets, headers={**headers, "Content-Type": asset.media})


def _files(folder: Traversable, above: str) -> Iterator[tuple[str, Asset]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _files(each, f"{above}{each.name}/")
        elif (media := TYPES.get(each.name.rpartition(".")[2])) is not None:
            octets = each.read_bytes()
            yield f"{above}{each.name}", Asset(octets, media, hashlib.sha256(octets).hexdigest()[:32])
