"""`python -m perf`: this switch beside every peer that is installed."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from pathlib import Path
from statistics import median
from typing import Any

from perf import impairments, instructions, report, topologies
from perf.benches import BENCHES, Failure, Figures, take
from perf.contenders import CONTENDERS
from perf.lab import CORES, MissingError, remove_tools

RESULTS = Path(__file__).parent / "results"
JSON, PLOT = RESULTS / "bench.json", RESULTS / "bench.svg"
README = Path(__file__).parents[1] / "README.md"

EPILOG = """examples:
  python -m perf                          all of it, about a quarter of an hour
  python -m perf pair --only native,c,vde --rounds 5
  python -m perf verdict                  which goals the last results reach
  python -m perf table --write            the last results into the README
  python -m perf instructions             of a burst, counted by callgrind
  python -m perf lab                      a lab of a hundred guests, up and down; cables between switches
  python -m perf impair delay rate        whether impairments do what they are told; all of it without names
"""


def main() -> int:
    """Measure, or show what was measured."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    match options.names:
        case ["table"]:
            show_table(write=options.write)
        case ["verdict"]:
            show_verdict(json.loads(JSON.read_text())["results"])
        case ["impair", *parts]:
            impairments.main(parts)
        case ["instructions"]:
            count_instructions(options.json)
        case ["lab"]:
            measure_labs(options)
        case names:
            measure(names or list(BENCHES), options)
    return 0


def arguments() -> argparse.Namespace:
    """What was asked for; ends with status 2 where that is nothing there is."""
    what = "\n".join(f"  {bench.name:14} {bench.what}" for bench in BENCHES.values())
    parser = argparse.ArgumentParser(
        prog="python -m perf",
        description="This switch beside every peer that is installed, in alternating rounds, on two cores.\n\n"
        f"benches:\n{what}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="BENCH", help="which; all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="that a figure is taken for")
    parser.add_argument("--only", default="", metavar="CONTENDER,…", help=", ".join(CONTENDERS))
    parser.add_argument("--quick", action="store_true", help="one round of half a second, in some five minutes")
    parser.add_argument("--json", type=Path, default=JSON, metavar="FILE", help="where results are kept and added to")
    parser.add_argument("--write", action="store_true", help="with `table`: into the README")
    options = parser.parse_args()
    if options.names[:1] == ["impair"]:
        return options
    shown = {"table", "verdict", "instructions", "lab"}
    unknown = [name for name in options.names if name not in BENCHES and options.names not in ([s] for s in shown)]
    unknown += [name for name in options.only.split(",") if name and name not in CONTENDERS]
    if unknown:
        parser.error(f"there is no {unknown[0]}; see --help")
    if options.quick:
        options.rounds, options.seconds = 1, 0.5
    return options


def measure(names: list[str], options: argparse.Namespace) -> None:
    """Rounds of all benches, whose order of contenders moves on; results are saved after each.

    What is compared is measured within one round: machines get faster and slower in the course of minutes.
    """
    if os.geteuid():
        sys.exit("benchmarks make network namespaces and TAPs; run them as root")
    wanted = [name for name in CONTENDERS if name in options.only.split(",") or not options.only]
    there = [name for name in wanted if takes_part(name)]
    data = describe(options, there)
    failed: list[str] = []
    try:
        for number in range(options.rounds):
            for name in names:
                failed += run_round(data, name, number, there, options.seconds)
                options.json.parent.mkdir(exist_ok=True)
                options.json.write_text(json.dumps(data, indent=1) + "\n")
    finally:
        remove_tools()
    for name in names:
        summarise(name, data)
    if options.json == JSON:
        PLOT.write_text(report.plot(data))
    show_verdict(data["results"])
    if failed:
        sys.exit(f"these failed: {', '.join(failed)}")


def takes_part(name: str) -> bool:
    """Whether a contender can; why not is said."""
    try:
        CONTENDERS[name].check()
    except MissingError as error:
        print(f"without {name}: {error}", file=sys.stderr)
        return False
    return True


def describe(options: argparse.Namespace, names: list[str]) -> dict[str, Any]:
    """The results so far, of a file that is there, with the facts of this run."""
    data: dict[str, Any] = json.loads(options.json.read_text()) if options.json.exists() else {"results": {}}
    data["machine"] = f"{len(CORES)} cores, Linux {platform.release()}, Python {platform.python_version()}"
    data["seconds"] = options.seconds
    data["labels"] = {name: contender.label for name, contender in CONTENDERS.items()}
    data.setdefault("versions", {}).update({name: CONTENDERS[name].version() for name in names})
    return data


def run_round(data: dict[str, Any], name: str, number: int, there: list[str], seconds: float) -> list[str]:
    """One round of a bench; which of it failed."""
    bench = BENCHES[name]
    names = [who for who in there if who in bench.contenders]
    failed = []
    results = data["results"].setdefault(name, {})
    for who in names[number % max(1, len(names)) :] + names[: number % max(1, len(names))]:
        print(f"{name}, round {number + 1}: {who}", file=sys.stderr, flush=True)
        rounds = results.setdefault(who, {})
        if number == 0:
            rounds.clear()
        try:
            figures: Figures = take(bench, CONTENDERS[who], seconds)
        except Failure as error:
            print(f"{name}: {who} failed: {error}", file=sys.stderr)
            failed.append(f"{name} of {who}")
            continue
        for figure, value in figures.items():
            rounds.setdefault(figure, []).append(value)
    data["results"][name] = {who: results[who] for who in CONTENDERS if who in results}
    return failed


def summarise(name: str, data: dict[str, Any]) -> None:
    """A bench's medians, a line for each contender."""
    for who, figures in data["results"][name].items():
        medians = ", ".join(f"{figure} {median(values):g}" for figure, values in figures.items())
        print(f"{name:14} {who:8} {medians}", flush=True)


def count_instructions(file: Path) -> None:
    """Of a frame, with each twin; they are kept with the other results."""
    data = json.loads(file.read_text()) if file.exists() else {"results": {}}
    data["instructions"] = instructions.count()
    file.write_text(json.dumps(data, indent=1) + "\n")
    print(json.dumps(data["instructions"]))


def measure_labs(options: argparse.Namespace) -> None:
    """Whole topologies, without peers; the figures are kept with the other results."""
    if os.geteuid():
        sys.exit("benchmarks make network namespaces and TAPs; run them as root")
    figures = topologies.measure(options.rounds, options.seconds)
    topologies.show(figures)
    data = json.loads(options.json.read_text()) if options.json.exists() else {"results": {}}
    data["lab"] = figures
    options.json.write_text(json.dumps(data, indent=1) + "\n")


def show_table(*, write: bool) -> None:
    """The README's table, on the terminal or into its place."""
    content = report.table(json.loads(JSON.read_text()))
    if write:
        README.write_text(report.fill(README.read_text(), content))
    else:
        print(content)


def show_verdict(results: report.Results) -> None:
    """Every goal, and how far it was reached."""
    print()
    for label, bound, found, word in report.verdict(results):
        print(f"{label:40} {bound:8} {found:24} {word}")


if __name__ == "__main__":
    sys.exit(main())
