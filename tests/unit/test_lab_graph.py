"""Pictures of topologies: everything is in them once, whatever it is called, and they are what they say."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from vswitch.control.topology import reading as lab
from vswitch.lab import graph

if TYPE_CHECKING:
    from vswitch.control.topology.layout import LabConfig

CONFIGS = Path(__file__).parents[2] / "configs"
SVG = "{http://www.w3.org/2000/svg}"


def config(name: str) -> LabConfig:
    return lab.read(CONFIGS / name)


@pytest.mark.parametrize("name", ["lab-campus.yml", "lab-routed.yml"])
def test_an_svg_has_a_box_for_each_node_none_over_another_and_a_line_for_each_link(name: str) -> None:
    drawn = config(name)
    root = ElementTree.fromstring(graph.svg(drawn))
    boxes = [tuple(int(box.attrib[key]) for key in ("x", "y")) for box in root.iter(f"{SVG}rect")]
    assert len(boxes) == len(drawn.guests) + len(drawn.switches) - len(drawn.wires)
    for (x1, y1), (x2, y2) in combinations(boxes, 2):
        assert abs(x1 - x2) >= graph.WIDTH or abs(y1 - y2) >= graph.HEIGHT
    assert len([*root.iter(f"{SVG}line"), *root.iter(f"{SVG}polyline")]) == len(drawn.links)
    width, height = int(root.attrib["width"]), int(root.attrib["height"])
    assert all(0 <= x <= width - graph.WIDTH and 0 <= y <= height - graph.HEIGHT for x, y in boxes)
    names = {text.text for text in root.iter(f"{SVG}text")}
    assert set(drawn.guests) | set(drawn.switches) - drawn.wires <= names


def test_dot_and_mermaid_have_every_node_and_link() -> None:
    drawn = config("lab-routed.yml")
    dot, mermaid = graph.dot(drawn), graph.mermaid(drawn)
    assert '"alice" [label="alice\\n10.1.0.1/24\\nfd01::1/64"];' in dot
    assert dot.count(" -- ") == mermaid.count(" ---") == len(drawn.links)
    assert len(re.findall(r"^  n\d+[\[(]", mermaid, re.MULTILINE)) == 6


def test_options_of_an_end_are_written_at_it_and_a_loop_is_drawn() -> None:
    drawn = lab.load(
        "name: t\nloops: true\nswitches: {a: , b: , c: }\n"
        "guests: {g: {switch: a, access: 10}, vm: {switch: b, qemu: {}}}\n"
        "links: [[a, b], [b, c], [{node: c, trunk: [10, 20]}, a]]\n"
    )
    picture = graph.svg(drawn)
    assert "trunk 10,20" in picture
    assert "access 10" in picture
    assert 'class="qemu"' in picture
    assert picture.count("<line ") + picture.count("<polyline ") == 5
    assert 'taillabel="trunk 10,20"' in graph.dot(drawn)
    assert '---|"trunk 10,20"|' in graph.mermaid(drawn)


def test_links_of_the_same_nodes_are_told_apart_and_no_words_are_over_others() -> None:
    drawn = lab.load(
        "name: t\nloops: true\nswitches: {a: , b: }\n"
        "guests: {g: {switch: a, access: 10}, h: {switch: a, access: 20, impair: {out: {delay: 5ms}}}, r: }\n"
        "links: [[{node: a, trunk: 10}, {node: b, trunk: [10, 20]}], [a, b], [r, {node: b, access: 10}],"
        " [r, {node: b, access: 20}]]\n"
    )
    root = ElementTree.fromstring(graph.svg(drawn))
    lines = [tuple(line.attrib.items()) for kind in ("line", "polyline") for line in root.iter(SVG + kind)]
    assert len(lines) == len(set(lines)) == len(drawn.links)
    ends = [text for text in root.iter(f"{SVG}text") if text.attrib.get("class") == "end"]
    assert [text.text for text in ends] == [
        "access 10", "access 20, impair out delay 5ms", "a: trunk 10", "trunk 10,20", "eth0: access 10",
        "eth1: access 20",
    ]  # fmt: skip
    for one, other in combinations(ends, 2):
        across = abs(int(one.attrib["x"]) - int(other.attrib["x"]))
        down = abs(int(one.attrib["y"]) - int(other.attrib["y"]))
        assert down >= 11 or across >= (len(one.text or "") + len(other.text or "")) * 5 / 2


def test_an_empty_lab_is_drawn_too() -> None:
    for draw in graph.FORMATS.values():
        assert draw(lab.load("name: t\n"))


def test_a_thousand_switches_in_a_row_are_a_picture_too() -> None:
    switches = ", ".join(f"s{number}: " for number in range(1000))
    links = ", ".join(f"[s{number}, s{number + 1}]" for number in range(999))
    made = lab.load(f"{{name: row, switches: {{{switches}}}, links: [{links}]}}")
    picture = graph.svg(made)
    assert all(f">s{number}<" in picture for number in (0, 500, 999))
