"""Switches for the tests of sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.running import Running, unique

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def start_(**ports: dict[str, Any]) -> Running:
        running.append(Running(tmp_path, {"name": unique("q"), "ports": ports}))
        running[-1].start()
        return running[-1]

    yield start_
    for each in running:
        each.__exit__()
