"""What it takes to put another switch beside ours."""

from __future__ import annotations

import pytest

from tests.conformance.taps import Guests


@pytest.fixture
def powers() -> None:
    """Skip, and say why, where a namespace or a TAP in it cannot be had."""
    try:
        with Guests(1):
            pass
    except OSError as error:
        pytest.skip(f"needs a network namespace and a TAP in it: {error}")
