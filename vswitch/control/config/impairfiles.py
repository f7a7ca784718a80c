"""Files that an impairment names: traces of a rate, tables of jitter, fates that were recorded."""

from __future__ import annotations

import json
import os
import stat
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

from vswitch.stages.impairment.spec import Copy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.stages.impairment.spec import Fate

MOST: Final = 4 << 20
"""Octets of a file: a longer one would hold the loop up."""

_SCALE: Final = 8192  # NETEM_DIST_SCALE of Linux include/uapi/linux/pkt_sched.h
_LIMIT: Final = 32767 / _SCALE
_ENTRIES: Final = 4096
_DIGITS: Final = 15  # of a time in a trace


def _pareto(share: float) -> float:
    """As netem/pareto.c of iproute2 computes it: shape 3, moved and scaled."""
    return min(_LIMIT, (float((1 - share) ** (-1 / 3)) - 1.5) * 4 / 3)


def _normal(share: float) -> float:
    return max(-_LIMIT, min(_LIMIT, NormalDist().inv_cdf(share)))


def _table(inverse: Any) -> tuple[float, ...]:
    return tuple(inverse((number + 0.5) / _ENTRIES) for number in range(_ENTRIES))


def distribution(name: str) -> Sequence[float] | None:
    """A distribution of jitter by its name, or from a file such as tc-netem's; None: uniform. Raises ValueError."""
    if name == "uniform":
        return None
    if name == "normal":
        return _table(_normal)
    if name == "pareto":
        return _table(_pareto)
    if name == "paretonormal":  # netem/paretonormal.c of iproute2
        return _table(lambda share: 0.25 * _normal(share) + 0.75 * _pareto(share))
    if "/" not in name:
        raise ValueError(
            f"there is no distribution {name[:60]!r}; take uniform, normal, pareto, paretonormal, or the path of a file"
        )
    words = [word for line in _lines(name) if not line.startswith("#") for word in line.split()]
    try:
        found = tuple(int(word) / _SCALE for word in words)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"the distribution {name} holds something that is no whole number: {error}") from None
    if not found:
        raise ValueError(f"the distribution {name} is empty")
    return found


def trace(name: str) -> tuple[float, ...]:
    """The times of a Mahimahi trace in seconds. Raises ValueError."""
    times: list[float] = []
    for number, line in enumerate(_lines(name), 1):
        if not line.isdecimal() or len(line) > _DIGITS:
            raise ValueError(f"line {number} of the trace {name} is {line[:40]!r}, expected a number of milliseconds")
        if times and int(line) / 1000 < times[-1]:
            raise ValueError(f"line {number} of the trace {name} goes back in time")
        times.append(int(line) / 1000)
    if not times or times[-1] <= 0:
        raise ValueError(f"the trace {name} has no time after 0, after which it could begin anew")
    return tuple(times)


def fates(name: str) -> tuple[Fate, ...]:
    """What `vswitch impair record` wrote. Raises ValueError."""
    found: list[Fate] = []
    for number, line in enumerate(_lines(name), 1):
        try:
            found.append(fate_of(json.loads(line)))
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise ValueError(f"line {number} of {name} is no fate that `vswitch impair record` wrote") from None
    if not found:
        raise ValueError(f"there is no fate in {name}")
    return tuple(found)


def fate_of(data: Any) -> Fate:
    """A fate from `[[delay, early, [bit, …]], …]`. Raises ValueError, TypeError or OverflowError."""
    copies = [
        Copy(float(delay), bool(early), tuple(int(flip) % (1 << 32) for flip in flips)) for delay, early, flips in data
    ]
    if len(copies) > 2 or any(not 0 <= copy.delay <= 3600 or len(copy.flips) > 1000 for copy in copies):
        raise ValueError
    return tuple(copies)


def fate_line(fate: Fate) -> str:
    """A fate as a line of a file."""
    return json.dumps([[copy.delay, int(copy.early), list(copy.flips)] for copy in fate], separators=(",", ":"))


def _lines(name: str) -> list[str]:
    """The lines of a file, without empty ones. Raises ValueError."""
    try:
        with open(name, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(f"cannot read {name}: it is no file")
            octets = file.read(MOST + 1)
        text = octets.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ValueError(f"cannot read {name}: {reason}") from None
    if len(octets) > MOST:
        raise ValueError(f"{name} is longer than {MOST >> 20} MiB")
    return [line.strip() for line in text.splitlines() if line.strip()]
