"""What a caller of `/metrics` would have: which format, and whether compressed (RFC 9110, section 12.5).

Nothing in these headers is an error: who names nothing that there is gets Prometheus' text format as it is.
"""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_WEIGHT: Final = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")
_TEXT: Final = ("text/plain", "text/*", "*/*")
_OPENMETRICS: Final = "application/openmetrics-text"
_VERSION: Final = "1.0.0"
_LEVEL: Final = 3
"""Of compression: more of it takes longer than what it saves, on any network that a scrape passes."""


class Format(NamedTuple):
    """How metrics are written."""

    content_type: str
    render: Callable[[Any], bytes]


TEXT: Final = Format(CONTENT_TYPE_PLAIN_0_0_4, generate_latest)
OPENMETRICS: Final = Format(f"{_OPENMETRICS}; version={_VERSION}; charset=utf-8", openmetrics.generate_latest)


def wanted(accept: str) -> Format:
    """The format that has the greatest weight; OpenMetrics where both have the same, and it is named."""
    text = opened = 0.0
    for weight, name, options in _elements(accept):
        if name == _OPENMETRICS and options.get("version", _VERSION) == _VERSION:
            opened = max(opened, weight)
        elif name in _TEXT:
            text = max(text, weight)
    return OPENMETRICS if opened and opened >= text else TEXT


def compressed(accept_encoding: str) -> bool:
    """Whether gzip is asked for by its name."""
    return any(weight > 0 for weight, name, _ in _elements(accept_encoding) if name in ("gzip", "x-gzip"))


def render(form: Format, registry: Any, *, compress: bool) -> bytes:
    """The octets that are sent."""
    octets = form.render(registry)
    return gzip.compress(octets, _LEVEL, mtime=0) if compress else octets


def _elements(header: str) -> Iterator[tuple[float, str, dict[str, str]]]:
    """Weight, name and parameters of each; what has no weight that can be read has none."""
    for element in header.lower().split(","):
        name, *rest = (part.strip() for part in element.split(";"))
        options = {key.strip(): value.strip().strip('"') for key, _, value in (part.partition("=") for part in rest)}
        weight = options.get("q", "1")
        yield float(weight) if _WEIGHT.fullmatch(weight) else 0.0, name, options
