"""Rates between two looks at counters that only grow; they begin anew where a port was replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = Mapping[str, Any]

CASTS: Final = ("unicast", "multicast", "broadcast")
_CONVERSATION: Final = ("port", "source", "destination", "vlan")


def ports(before: Sequence[Row], now: Sequence[Row], seconds: float) -> list[dict[str, Any]]:
    """What each port of now carried a second: rows of `GET /v1/ports`, `seconds` apart. Frames, bits and drops."""
    earlier = {row["port"]: row for row in before}
    return [_port(earlier.get(row["port"], row), row, seconds) for row in now]


def _port(before: Row, now: Row, seconds: float) -> dict[str, Any]:
    rates: dict[str, Any] = {"port": now["port"], "state": now["state"]}
    for direction in ("receive", "transmit"):
        frames = sum(now[direction][cast] - before[direction][cast] for cast in CASTS)
        octets = now[direction]["bytes"] - before[direction]["bytes"]
        rates[direction] = {"frames": _rate(frames, seconds), "bits": _rate(octets * 8, seconds)}
    drops = {reason: count - before["dropped"].get(reason, 0) for reason, count in now["dropped"].items()}
    rates["dropped"] = {reason: _rate(count, seconds) for reason, count in drops.items() if count > 0}
    return rates


def flows(before: Sequence[Row], now: Sequence[Row], seconds: float) -> list[dict[str, Any]]:
    """What each conversation carried a second, the busiest first: rows of `GET /v1/flows`; without those at rest."""
    earlier = {_key(row): row for row in before}
    rates = []
    for row in now:
        begin = earlier.get(_key(row), row)  # one that was not listed before may be old
        frames, bits = (row[what] - begin[what] for what in ("frames", "bytes"))
        if frames > 0:
            named = {key: row[key] for key in _CONVERSATION}
            rates.append({**named, "frames": _rate(frames, seconds), "bits": _rate(bits * 8, seconds)})
    return sorted(rates, key=lambda row: -row["bits"])


def _key(row: Row) -> tuple[object, ...]:
    return tuple(row[key] for key in _CONVERSATION)


def _rate(count: int, seconds: float) -> float:
    return round(max(count, 0) / seconds, 3)
