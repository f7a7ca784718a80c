"""`python -m perf.superframes`: what one TCP stream carries with superframes passed whole, and with `offload: off`."""

from __future__ import annotations

from statistics import median

from perf.measure import running, save
from vswitch.lab.guest import Guest, stream

ROUNDS = 5
SECONDS = 3.0


def main() -> None:
    """Both in turn; the ratio is taken round by round, so that a machine whose speed drifts does not matter."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(ROUNDS):
        for offload in (True, False):
            ports = {
                name: {"tap": f"perf{name}", "netns": f"perf{name}", "address": f"10.0.0.{n}/24", "offload": offload}
                for n, name in enumerate("ab", 1)
            }
            with running(ports):
                rates[offload].append(round(stream(Guest("perfa"), Guest("perfb"), "10.0.0.2", SECONDS) / 1e9, 2))
    ratios = [round(on / off, 1) for on, off in zip(rates[True], rates[False], strict=True)]
    save(
        "superframes",
        {
            "Gbit/s with offload": {"median": median(rates[True]), "rounds": rates[True]},
            "Gbit/s with offload: off": {"median": median(rates[False]), "rounds": rates[False]},
            "ratio": {"median": median(ratios), "rounds": ratios},
        },
    )


if __name__ == "__main__":
    main()
