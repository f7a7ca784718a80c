"""Medians, ratios, the verdict, the README's table and the plot, of results alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from statistics import median
from typing import Any, NamedTuple

Rounds = Mapping[str, Sequence[float]]
"""Values of a figure, round by round."""

Results = Mapping[str, Mapping[str, Rounds]]
"""By bench and contender."""


class Goal(NamedTuple):
    """A ratio to reach: `figure` of `ours` to that of the best of `theirs`, round by round."""

    label: str
    figure: str
    ours: tuple[str, str]
    theirs: tuple[tuple[str, str], ...]
    bound: float
    at_least: bool = True


def _pair(name: str) -> tuple[str, str]:
    return "pair", name


GOALS = (
    Goal("64 B, native : C reference", "64 B kframes", _pair("native"), (_pair("c"),), 0.95),
    Goal("64 B, pure Python : C reference", "64 B kframes", _pair("python"), (_pair("c"),), 0.65),
    Goal("64 B, native : vde_switch", "64 B kframes", _pair("native"), (_pair("vde"),), 1.2),
    Goal("64 B, native : Open vSwitch", "64 B kframes", _pair("native"), (_pair("ovs"), _pair("ovs-tso")), 1.4),
    Goal("one TCP stream, native : C reference", "TCP gbit", _pair("native"), (_pair("c"),), 0.95),
    Goal("one TCP stream : Open vSwitch, TSO", "TCP gbit", _pair("native"), (_pair("ovs-tso"),), 1.4),
    Goal("one TCP stream : kernel bridge", "TCP gbit", _pair("native"), (_pair("bridge"),), 0.9),
    Goal("RTT p50 at idle : vde_switch", "RTT p50", _pair("native"), (_pair("vde"),), 0.6, at_least=False),
    Goal("CPU per frame, 64 ports : 2", "cpu", ("mesh-64", "native"), (("mesh-2", "native"),), 1.2, at_least=False),
    Goal(
        "CPU per frame, 1,000,000 stations : 10",
        "cpu", ("table-1000000", "native"), (("table-10", "native"),), 1.1, at_least=False,
    ),
)  # fmt: skip


def ratios(results: Results, goal: Goal) -> list[float]:
    """Of each round that both were measured in."""
    best: Callable[[Sequence[float]], float] = max if goal.at_least else min
    ours = _rounds(results, goal.ours, goal.figure)
    theirs = [values for who in goal.theirs if (values := _rounds(results, who, goal.figure))]
    return [value / best(others) for value, *others in zip(ours, *theirs, strict=False)] if theirs else []


def _rounds(results: Results, who: tuple[str, str], figure: str) -> Sequence[float]:
    return results.get(who[0], {}).get(who[1], {}).get(figure, ())


def verdict(results: Results) -> list[tuple[str, str, str, str]]:
    """Of each goal: its name, the bound, the median of the ratios, with the least and the greatest, and the outcome."""
    rows = []
    for goal in GOALS:
        found = ratios(results, goal)
        bound = f"{'≥' if goal.at_least else '≤'} {goal.bound:g}"
        if not found:
            rows.append((goal.label, bound, "not measured", ""))
            continue
        middle = median(found)
        holds = middle >= goal.bound if goal.at_least else middle <= goal.bound
        spread = f" ({min(found):.2f} to {max(found):.2f})" if len(found) > 1 else ""
        rows.append((goal.label, bound, f"{middle:.2f}{spread}", "reached" if holds else "not reached"))
    return rows


COLUMNS = (
    ("64 B, kframe/s", "64 B kframes", "{:.0f}"), ("CPU, µs/frame", "64 B cpu", "{:.2f}"),
    ("1518 B, kframe/s", "1518 B kframes", "{:.0f}"), ("TCP, Gbit/s", "TCP gbit", "{:.1f}"),
    ("4 TCP", "TCP x4 gbit", "{:.1f}"), ("UDP, Mbit/s", "UDP mbit", "{:.0f}"),
    ("RTT p50, µs", "RTT p50", "{:.0f}"), ("p99", "RTT p99", "{:.0f}"),
    ("loaded p50", "RTT loaded p50", "{:.0f}"), ("p99", "RTT loaded p99", "{:.0f}"),
)  # fmt: skip


def table(data: Mapping[str, Any]) -> str:
    """The Markdown table of the README: medians of what two guests tell of each switch."""
    results: Results = data["results"]
    lines = ["| | " + " | ".join(name for name, _, _ in COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for contender, figures in results.get("pair", {}).items():
        cells = [form.format(median(figures[name])) if figures.get(name) else "" for _, name, form in COLUMNS]
        lines.append(f"| {data['labels'][contender]} | " + " | ".join(cells) + " |")
    rounds = [len(values) for figures in results.get("pair", {}).values() for values in figures.values()]
    machine = f"Medians of {max(rounds, default=0)} rounds on {data['machine']}."
    return "\n".join([*lines, "", machine])


BEGIN, END = "<!-- bench -->", "<!-- /bench -->"


def fill(text: str, content: str) -> str:
    """A page with this content between its markers. Raises ValueError where it has none."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{content}\n{END}{tail}"


PANELS = (
    ("64-byte frames, thousands a second", "64 B kframes"), ("CPU time a frame, µs (less is better)", "64 B cpu"),
    ("one TCP stream, Gbit/s", "TCP gbit"), ("round trip, median µs (less is better)", "RTT p50"),
)  # fmt: skip

_WIDTH, _BAR, _GAP, _LABEL = 440, 16, 6, 220


def plot(data: Mapping[str, Any]) -> str:
    """Bars of the panels' figures for every contender, as SVG."""
    results: Results = data["results"]
    figures = results.get("pair", {})
    height = 40 + len(figures) * (_BAR + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * _WIDTH + 20} {2 * height + 10}" '
        'font-family="system-ui, sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for number, (title, name) in enumerate(PANELS):
        left, top = 10 + (number % 2) * _WIDTH, 10 + (number // 2) * height
        parts.append(f'<text x="{left}" y="{top + 12}" font-weight="600" font-size="13">{escape(title)}</text>')
        rows = {who: median(rounds[name]) for who, rounds in figures.items() if rounds.get(name)}
        most = max(rows.values(), default=1) or 1
        for row, (who, value) in enumerate(rows.items()):
            parts += _bar(left, top + 24 + row * (_BAR + _GAP), data["labels"][who], value, value / most)
    return "\n".join([*parts, "</svg>", ""])


def _bar(left: int, top: int, label: str, value: float, share: float) -> list[str]:
    width = share * (_WIDTH - _LABEL - 70)
    colour = "#1f6feb" if label.startswith("vswitch") else "#afb8c1"
    at = top + _BAR - 4
    return [
        f'<text x="{left + _LABEL - 6}" y="{at}" text-anchor="end">{escape(label.replace("`", ""))}</text>',
        f'<rect x="{left + _LABEL}" y="{top}" width="{width:.1f}" height="{_BAR}" rx="2" fill="{colour}"/>',
        f'<text x="{left + _LABEL + width + 5:.1f}" y="{at}">{value:.3g}</text>',
    ]
