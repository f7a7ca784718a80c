"""The page of a switch with 64 ports: it can be read, and costs the browser little."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.page.conftest import DESK, PHONE, Shown
from tests.page.scene import LLDP
from tests.running import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.page.browser import Browser

pytestmark = [pytest.mark.program("chromium"), pytest.mark.program("chromedriver")]

PORTS = 64


@pytest.fixture(scope="module")
def shown(powers: None, tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Shown]:
    names = [f"node{number:02d}" for number in range(1, PORTS + 1)]
    with Shown(tmp_path_factory.mktemp("many"), browser, {name: {} for name in names}) as shown:
        guests, traffic = shown.guests, shown.traffic
        for one, other in zip(names[0:40:2], names[1:40:2], strict=True):
            traffic.datagrams(guests[one], guests[other], guests.address(other), 400_000)
        traffic.frames(guests["node05"], guests.device("node05"), LLDP, 20)
        traffic.start()
        yield shown


@pytest.fixture(autouse=True)
def quiet(shown: Shown) -> Iterator[None]:
    yield
    shown.browser.size(*DESK)
    assert shown.browser.complaints() == []


def test_every_one_of_64_ports_is_drawn_and_can_be_read(shown: Shown) -> None:
    browser = shown.open()
    until(lambda: len(browser.all(".picture a.node")) == PORTS, "the picture")
    assert len(browser.all("main tbody tr")) == PORTS
    overlapping = browser.run("""
        const texts = [...document.querySelectorAll('.picture a.node text')];
        const boxes = texts.map((each) => each.getBoundingClientRect());
        return boxes.filter((a, i) => boxes.some((b, j) => i < j && a.left < b.right && b.left < a.right
            && a.top + 3 < b.bottom && b.top + 3 < a.bottom)).length""")
    assert overlapping == 0
    until(lambda: len(browser.all(".picture > svg .lane.in")) >= 20, "traffic")
    assert browser.all(".picture a.node.drops")


def test_64_ports_are_drawn_in_little_time(shown: Shown) -> None:
    browser = shown.open()
    until(lambda: len(browser.all(".picture a.node")) == PORTS, "the picture")
    browser.run("""
        window.__long = [];
        new PerformanceObserver((list) => window.__long.push(...list.getEntries().map((each) => each.duration)))
            .observe({type: 'longtask'});""")
    time.sleep(4)
    tasks = browser.run("return window.__long")
    assert sum(tasks) < 4000 * 0.25, "it leaves the browser three quarters of its time, on a busy machine too"


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing_in_the_picture_of_64_ports(shown: Shown, size: tuple[int, int]) -> None:
    shown.browser.size(*size)
    browser = shown.open()
    until(lambda: len(browser.all(".picture a.node")) == PORTS, "the picture")
    assert browser.axe() == []
    assert browser.fits()
