"""How the page looks: to axe-core in every view, theme and width; without motion; with a wrong token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.page.conftest import DESK, PHONE, Shown
from tests.page.scene import LLDP, TAGGED
from tests.running import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.page.browser import Browser

pytestmark = [pytest.mark.program("chromium"), pytest.mark.program("chromedriver")]

PORTS = 12
VIEWS = ["ports", "stations", "vlans", "drops", "talkers", "history", "mirrors"]
TABS = ["Counters", "Impairments", "Capture", "Explain", "Frames"]


@pytest.fixture(scope="module")
def shown(powers: None, tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Shown]:
    names = [f"node{number:02d}" for number in range(1, PORTS + 1)]
    ports: dict[str, dict[str, Any]] = {name: {} for name in names}
    ports["node10"], ports["node11"] = {"trunk": [10, "20-29"], "native": 1}, {"access": 10}
    mirrors = {"watch": {"ports": ["node01"], "direction": "both", "to": "node12"}}
    with Shown(tmp_path_factory.mktemp("looks"), browser, ports, mirrors=mirrors) as shown:
        guests, traffic = shown.guests, shown.traffic
        for one, other in zip(names[0:8:2], names[1:8:2], strict=True):
            traffic.datagrams(guests[one], guests[other], guests.address(other), 400_000)
        traffic.frames(guests["node05"], guests.device("node05"), LLDP, 20)
        traffic.frames(guests["node06"], guests.device("node06"), TAGGED, 20)
        traffic.start()
        yield shown


@pytest.fixture(autouse=True)
def quiet(shown: Shown) -> Iterator[None]:
    yield
    shown.browser.size(*DESK)
    shown.browser.prefer()
    assert shown.browser.complaints() == []


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_any_view(shown: Shown, theme: str, size: tuple[int, int]) -> None:
    browser = shown.browser
    browser.size(*size)
    browser.prefer(prefers_color_scheme=theme)
    shown.open()
    for view in VIEWS:
        shown.go(view)
        until(lambda: browser.all("main tbody tr"), f"the rows of {view}")
        assert browser.axe() == [], view
        assert browser.fits(), view


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_a_port(shown: Shown, theme: str, size: tuple[int, int]) -> None:
    browser = shown.browser
    browser.size(*size)
    browser.prefer(prefers_color_scheme=theme)
    shown.open("ports/node05")
    for tab in TABS:
        browser.click("[role=tab]", tab)
        if tab == "Explain":
            browser.click("button.word", "LLDP")
            browser.click("dialog button.main")
            browser.find(".verdict")
        elif tab == "Frames":
            until(lambda: browser.all(".frames tbody tr"), "frames")
        assert browser.axe() == [], tab
        assert browser.fits(), tab
    browser.press("?")
    browser.find("dialog .keys")
    assert browser.axe() == []


IN_SIGHT = """
const box = document.querySelector(arguments[0]).getBoundingClientRect();
return box.width > 0 && box.left >= 0 && box.right <= innerWidth;"""


def test_what_is_chosen_is_seen_on_a_phone(shown: Shown) -> None:
    """Of views and tabs that do not fit, and of a table what it is about."""
    browser = shown.browser
    browser.size(*PHONE)
    shown.open("mirrors")
    until(lambda: browser.run(IN_SIGHT, "nav [aria-current]"), "the view's name")
    shown.go("ports")
    until(lambda: browser.run(IN_SIGHT, "nav [aria-current]"), "that of another")
    shown.go("talkers")
    browser.find("main tbody tr")
    assert browser.run(IN_SIGHT, "main thead th:nth-child(3)"), "who carries how much"
    shown.go("ports/node05")
    browser.click("[role=tab]", "Frames")
    until(lambda: browser.run(IN_SIGHT, "[aria-selected=true]"), "the tab")
    browser.find(".frames tbody tr")
    assert browser.run(IN_SIGHT, ".frames .line"), "what a frame says"


def test_long_names_can_be_told_apart_and_leave_room(shown: Shown) -> None:
    names = [f"production-database-primary-{end}" for end in ("aaaa", "bbbb")]
    labels = "return [...document.querySelectorAll('.picture .node .name')].map((each) => each.textContent.slice(-4))"
    browser = shown.browser
    browser.size(*PHONE)
    shown.open()
    try:
        for number, name in enumerate(names):
            device = f"{shown.tag}l{number}"
            added = shown.running.vswitch("port", "add", name, "--tap", device, "--netns", device)
            assert added.returncode == 0, added.stderr
        until(lambda: browser.run(labels)[-2:] == ["aaaa", "bbbb"], "both, by their ends")
        assert browser.run(IN_SIGHT, f"main tr[data-row='{names[0]}'] td:nth-child(8)"), "what it drops"
        assert browser.axe() == []
    finally:
        for name in names:
            shown.running.vswitch("port", "del", name)


def test_names_are_shown_letter_by_letter(shown: Shown) -> None:
    """Some typefaces draw an x between digits as a multiplication sign; where none of them is, this says nothing."""
    shown.open()
    wide = """
        const measure = (text) => {
            const span = Object.assign(document.createElement('span'), {textContent: text});
            document.body.append(span);
            const width = span.getBoundingClientRect().width;
            span.remove();
            return width;
        };
        document.body.style.fontFamily = 'Inter';
        const apart = measure('2') + measure('x') + measure('4');
        return [measure('2x4'), apart];"""
    together, apart = shown.browser.run(wide)
    assert together == pytest.approx(apart, abs=0.2)


def test_a_rate_that_is_not_known_yet_is_no_zero(shown: Shown) -> None:
    browser = shown.open()
    browser.run("""
        window.__first = null;
        new MutationObserver(() => {
            const cell = document.querySelector("main tbody tr td:nth-child(3)");
            if (cell && location.hash === "#/talkers") window.__first ??= cell.innerText;
        }).observe(document.body, {childList: true, subtree: true, characterData: true});""")
    shown.go("talkers")
    until(lambda: browser.run("return window.__first"), "the first of them")
    assert browser.run("return window.__first") == "…"
    until(lambda: "bit/s" in browser.text("main tbody tr td:nth-child(3)"), "the rate")


def test_who_wants_no_motion_has_none(shown: Shown) -> None:
    shown.browser.prefer(prefers_reduced_motion="reduce")
    browser = shown.open()
    until(lambda: browser.all(".picture .moves"), "what would move")
    assert browser.run("return document.getAnimations().length") == 0


def test_a_wrong_token_is_said_and_forgotten(shown: Shown) -> None:
    browser = shown.browser
    browser.open("about:blank")
    browser.open(f"http://{shown.origin}/#token=this-is-not-the-token-0")
    until(lambda: "does not know that token" in browser.text(".banner"), "the sentence")
    until(lambda: "Read only" in browser.text("header"), "the page to go on without")
    noted = [line for line in browser.complaints() if "401" not in line and "WebSocket" not in line]
    assert noted == [], "but for what the browser notes of the refusal"
