"""What becomes of an impairment when something of it is said anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def amended(before: Any, said: Mapping[str, Any]) -> dict[str, Any]:
    """It, after `preset`, `seed`, `in` or `out` was said; what is said takes the place of what was.

    before: an ImpairConfig, or None.  A direction that is not mentioned stays; a preset is of both.
    """
    if before is None:
        return dict(said)
    if said.get("preset"):
        return {"seed": before.seed, **said}
    kept: dict[str, Any] = before.model_dump(mode="json")
    if before.preset and {"in", "out"} & said.keys():
        del kept["preset"]
        kept |= {name: config.dump() for name in ("in", "out") if (config := before.direction(name))}
    return {**kept, **said}
