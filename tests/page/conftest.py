"""One browser and one switch for each module: what they cost is their start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.page.browser import Browser
from tests.page.scene import Guests, Traffic, config, free_port
from tests.running import Running, need_taps, unique, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "0123456789abcdefghijklmn"


@pytest.fixture(scope="module")
def powers() -> None:
    """Nothing here runs without TAPs."""
    need_taps()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One that is gone after the module."""
    with Browser() as browser:
        yield browser


class Shown:
    """A switch, its guests, and its page in a browser."""

    def __init__(
        self,
        folder: Path,
        browser: Browser,
        ports: dict[str, dict[str, Any]],
        *,
        name: str = "",
        tag: str = "",
        **options: Any,
    ) -> None:
        """tag: what devices and namespaces begin with.  options: of the configuration."""
        self.tag = tag or unique("p")
        self.name = name or self.tag
        self.browser = browser
        self.guests = Guests(list(ports), self.tag)
        self.origin = f"127.0.0.1:{free_port()}"
        page = {"listen": self.origin, "token": TOKEN}
        self.running = Running(folder, config(self.name, ports, self.tag, page=page, **options))
        self.traffic = Traffic()

    def __enter__(self) -> Shown:
        self.running.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.traffic.__exit__()
        self.running.__exit__()

    def open(self, place: str = "", *, token: bool = True) -> Browser:
        """The page from its beginning, at a place such as `stations` or `ports/web`; with the token or without."""
        self.browser.open(f"http://{self.origin}/")
        self.browser.run("sessionStorage.clear(); localStorage.clear()")
        self.browser.open(f"http://{self.origin}/{f'#token={TOKEN}' if token else ''}")
        until(lambda: self.browser.all("main .card"), "the page to show the switch")
        self.go(place)
        return self.browser

    def go(self, place: str) -> None:
        """Another place of the page."""
        self.browser.run("location.hash = arguments[0]", f"#/{place}")

    def value(self, port: str, column: int) -> float:
        """The number that the table of ports has in a column."""
        found = self.browser.run(
            "const row = document.querySelector(`main tr[data-row='${arguments[0]}']`);"
            "return row?.children[arguments[1]].querySelector('data')?.value",
            port, column,
        )  # fmt: skip
        return float(found or 0)


IN, OUT, FRAMES_IN, FRAMES_OUT, DROPS = 2, 3, 5, 6, 7
"""Columns of the table of ports."""

DESK, PHONE = (1280, 900), (360, 740)
"""Widths and heights of a window."""
