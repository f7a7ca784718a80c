"""What benchmarks make of their figures, and that the README says what was measured."""

from __future__ import annotations

import json
import subprocess
from typing import Any
from xml.etree import ElementTree

import pytest

from perf import report
from perf.__main__ import JSON, PLOT, README
from perf.benches import BENCHES, EVERYBODY
from perf.contenders import CONTENDERS
from perf.lab import SOURCES

GOAL = report.Goal("ours : theirs", "rate", ("pair", "us"), (("pair", "x"), ("pair", "y")), 0.9)


def results(**rounds: list[float]) -> dict[str, Any]:
    return {"pair": {who: {"rate": values} for who, values in rounds.items()}}


def test_a_ratio_is_of_one_round_and_to_the_best_of_the_others() -> None:
    assert report.ratios(results(us=[6, 8, 9], x=[3, 16, 9], y=[2, 4, 10]), GOAL) == [2, 0.5, 0.9]
    less = GOAL._replace(at_least=False)
    assert report.ratios(results(us=[6, 8], x=[3, 16], y=[2, 4]), less) == [3, 2]
    assert report.ratios(results(us=[6, 8], y=[3, 2]), GOAL) == [2, 4]
    assert report.ratios(results(us=[6, 8]), GOAL) == []


@pytest.mark.parametrize(
    ("at_least", "ours", "word"),
    [(True, 9, "reached"), (True, 8, "not reached"), (False, 9, "reached"), (False, 10, "not reached")],
)
def test_a_goal_is_held_against_the_median_of_the_ratios(
    monkeypatch: pytest.MonkeyPatch, at_least: bool, ours: float, word: str
) -> None:
    monkeypatch.setattr(report, "GOALS", (GOAL._replace(at_least=at_least),))
    [(label, _, figure, outcome)] = report.verdict(results(us=[1, ours, 100], x=[10, 10, 10]))
    assert (label, outcome) == ("ours : theirs", word)
    assert figure == f"{ours / 10:.2f} (0.10 to 10.00)"
    assert report.verdict({}) == [("ours : theirs", f"{'≥' if at_least else '≤'} 0.9", "not measured", "")]


def test_a_page_takes_a_table_between_its_markers() -> None:
    page = f"above\n{report.BEGIN}\nold\n{report.END}\nbelow\n"
    assert report.fill(page, "new") == f"above\n{report.BEGIN}\nnew\n{report.END}\nbelow\n"
    with pytest.raises(ValueError, match="has no <!-- bench -->"):
        report.fill("nothing", "new")


def test_the_readme_shows_the_results_that_are_kept() -> None:
    data, page = json.loads(JSON.read_text()), README.read_text()
    assert report.fill(page, report.table(data)) == page
    assert PLOT.read_text() == report.plot(data)


def test_every_figure_to_reach_was_measured() -> None:
    verdict = report.verdict(json.loads(JSON.read_text())["results"])
    assert {outcome for *_, outcome in verdict} <= {"reached", "not reached"}


def test_the_plot_has_a_bar_for_everybody() -> None:
    data = {
        "labels": {"us": "vswitch <1>", "x": "other"},
        "results": {"pair": {"us": {"TCP gbit": [3.0, 5.0, 4.0]}, "x": {"TCP gbit": [2.0]}}},
    }
    tree = ElementTree.fromstring(report.plot(data))
    texts = [text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert {"vswitch <1>", "other", "4", "2"} <= set(texts)


def test_who_takes_part_is_known() -> None:
    assert set(EVERYBODY) == set(CONTENDERS)
    assert all(set(bench.contenders) <= set(CONTENDERS) for bench in BENCHES.values())


@pytest.mark.program("cc")
@pytest.mark.parametrize("source", sorted(SOURCES.glob("*.c")), ids=lambda path: path.stem)
def test_its_tools_compile_without_a_warning(source: Any) -> None:
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    subprocess.run(["cc", *flags, source], check=True)
