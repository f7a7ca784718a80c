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
    assert len(list(root.iter(f"{SVG}line"))) == len(drawn.links)
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
    assert picture.count("<line ") == 5
    assert 'taillabel="trunk 10,20"' in graph.dot(drawn)
    assert '---|"trunk 10,20"|' in graph.mermaid(drawn)


def test_an_empty_lab_is_drawn_too() -> None:
    for draw in graph.FORMATS.values():
        assert draw(lab.load("name: t\n"))
