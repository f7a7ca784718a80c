"""What a ring waits for: a frame, by its fate or its octets, or something that happens to a port or a station."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

from vswitch.core.verdict import Reason
from vswitch.observe import bpf
from vswitch.observers import Happening

if TYPE_CHECKING:
    from collections.abc import Collection

HAPPENINGS: Final[tuple[str, ...]] = get_args(Happening)
FORMS: Final = f"drop, drop:REASON, {', '.join(HAPPENINGS)} (each of them of one port: down:web), or a filter"


class Trigger:
    """A condition in words."""

    def __init__(self, words: str) -> None:
        """Raises ValueError where they are not understood."""
        if not words:
            raise ValueError(f"a ring needs a trigger: {FORMS}")
        kind, _, name = words.partition(":")
        self._happening = kind if kind in HAPPENINGS else None
        self.port = name if self._happening else ""
        """Where it is to happen; everywhere, if that is empty."""
        self._drop = words == "drop" or (kind == "drop" and bool(name))
        self._reason = _reason(name) if self._drop and name else None
        self._matches = None if self._drop or self._happening else bpf.compiled(words)

    def frame(self, reason: Reason | None, frame: bytes) -> bool:
        """Whether this is the frame, dropped for a reason or not."""
        if self._drop:
            return reason is not None and self._reason in (None, reason)
        return self._matches is not None and self._matches(frame)

    def happened(self, what: str, ports: Collection[str]) -> bool:
        """Whether this is what happened, at these ports."""
        return what == self._happening and (not self.port or self.port in ports)


def _reason(name: str) -> Reason:
    found = next((reason for reason in Reason if reason == name), None)
    if found is None:
        raise ValueError(f"there is no drop reason {name!r}; the reasons are {', '.join(Reason)}")
    return found
