"""The page of a switch with three guests, in a real browser: what it shows is what passes, and what it does happens."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from pyroute2 import IPRoute
from selenium.webdriver.common.keys import Keys

from tests.page.conftest import DROPS, FRAMES_IN, FRAMES_OUT, IN, OUT, TOKEN, Shown
from tests.page.scene import LLDP, counters
from tests.running import until
from vswitch.core.verdict import Reason
from vswitch.ports import netns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.page.browser import Browser

pytestmark = [pytest.mark.program("chromium"), pytest.mark.program("chromedriver")]

HTML = "<img src=x onerror=document.title='owned'>"
SECONDS = 6.0


@pytest.fixture(scope="module")
def shown(powers: None, tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Shown]:
    with Shown(tmp_path_factory.mktemp("page"), browser, {"web": {}, "db": {}, "cache": {}}) as shown:
        guests, traffic = shown.guests, shown.traffic
        traffic.datagrams(guests["web"], guests["db"], guests.address("db"), 4_000_000)
        traffic.stream(guests["db"], guests["web"], guests.address("web"), 40_000_000)
        traffic.frames(guests["cache"], guests.device("cache"), LLDP, 10)
        traffic.start()
        yield shown


@pytest.fixture(autouse=True)
def quiet(shown: Shown) -> Iterator[None]:
    """Neither the console nor the security policy has anything to say, whatever a test does."""
    yield
    assert shown.browser.complaints() == []


def set_link(shown: Shown, port: str, state: str) -> None:
    namespace = netns.find(shown.guests.device(port))
    assert namespace is not None
    with netns.inside(namespace), IPRoute() as ipr:
        ipr.link("set", index=ipr.link_lookup(ifname=shown.guests.device(port))[0], state=state)
    namespace.close()


def test_rates_are_those_that_the_kernel_counts(shown: Shown) -> None:
    shown.open()
    until(lambda: shown.value("web", IN) > 1e6 and shown.value("db", IN) > 1e6, "traffic on the page")
    looks: list[list[float]] = []
    kernel = []
    cells = [("web", IN), ("web", OUT), ("web", FRAMES_IN), ("web", FRAMES_OUT), ("db", IN), ("db", OUT)]

    def look() -> list[float]:
        return [shown.value(port, column) for port, column in cells]

    last = look()
    until(lambda: look() != last, "the next state, with which both begin")
    for _ in range(2):
        counted = {port: counters(shown.guests[port], shown.guests.device(port)) for port in ("web", "db")}
        kernel.append((time.monotonic(), counted))
        end = time.monotonic() + SECONDS
        while len(kernel) == 1 and time.monotonic() < end:
            now = look()
            if not looks or now != looks[-1]:
                looks.append(now)
            time.sleep(0.05)
    seconds = kernel[1][0] - kernel[0][0]

    def rate(port: str, name: str) -> float:
        return (kernel[1][1][port][name] - kernel[0][1][port][name]) / seconds

    expected = [
        8 * rate("web", "tx_bytes"), 8 * rate("web", "rx_bytes"), None, None,
        8 * rate("db", "tx_bytes"), 8 * rate("db", "rx_bytes"),
    ]  # fmt: skip
    shown_rates = [sum(column) / len(looks[1:]) for column in zip(*looks[1:], strict=True)]
    for cell, ours, theirs in zip(cells, shown_rates, expected, strict=True):
        assert theirs is None or ours == pytest.approx(theirs, rel=0.1), cell
    assert len(looks) >= 5, "it is renewed each second"


def test_frames_and_drops_are_counted_a_second(shown: Shown) -> None:
    shown.open()
    until(lambda: 8 <= shown.value("cache", DROPS) <= 12, "ten drops a second")
    assert shown.value("cache", FRAMES_IN) == pytest.approx(shown.value("cache", DROPS), abs=2)
    shown.go("drops")
    row = "main tr[data-row='reserved_address']"
    shown.browser.find(row)
    assert Reason.RESERVED_ADDRESS.meaning in shown.browser.text(row)
    assert "cache" in shown.browser.text(row)


def test_a_port_that_goes_down_is_seen_within_two_seconds(shown: Shown) -> None:
    browser = shown.open()
    until(lambda: "up" in browser.text("main tr[data-row='db']"), "the port")
    set_link(shown, "db", "down")
    went = time.monotonic()
    until(lambda: "down" in browser.text("main tr[data-row='db']"), "it to be shown down")
    assert time.monotonic() - went < 2.0
    assert browser.find(".picture a.node.down").get_attribute("aria-label") == "db down"
    assert browser.text("[role=status]") == "Port db is down."
    set_link(shown, "db", "up")
    until(lambda: "up" in browser.text("main tr[data-row='db']"), "it to be shown up")


@pytest.mark.program("tshark")
def test_a_capture_is_saved_and_tshark_reads_it(shown: Shown) -> None:
    browser = shown.open("ports/web")
    browser.click("[role=tab]", "Capture")
    browser.find("input[name=filter]").send_keys("udp")
    fill(browser, count="20", seconds="20")
    time.sleep(1.2)  # what is typed stays, while the page is drawn anew
    browser.click("form button[type=submit]", "Start")
    until(lambda: "saved as" in browser.text("form [role=status]"), "the capture to end")
    assert browser.text("form [role=status]").startswith("20 packets")
    saved = browser.downloaded(".pcapng")
    assert saved.name.startswith(f"{shown.tag}-web-20")
    assert len(tshark(saved).splitlines()) == 20
    saved.unlink()


def fill(browser: Browser, **values: str) -> None:
    for name, value in values.items():
        browser.find(f"input[name={name}]").clear()
        browser.find(f"input[name={name}]").send_keys(value)


def tshark(path: Path) -> str:
    """Its lines of a capture. Raises where it is cut."""
    return subprocess.run(["tshark", "-r", str(path)], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.program("tshark")
def test_a_capture_that_is_stopped_is_whole(shown: Shown) -> None:
    browser = shown.open("ports/db")
    browser.click("[role=tab]", "Capture")
    fill(browser, count="100000", seconds="60")
    browser.click("form button[type=submit]", "Start")
    until(lambda: browser.text("form [role=status]")[:1] not in ("", "0"), "packets")
    browser.click("form button", "Stop")
    until(lambda: "saved as" in browser.text("form [role=status]"), "it to be saved")
    saved = browser.downloaded(".pcapng")
    said = int(browser.text("form [role=status]").split(" packet")[0].replace("\u2009", ""))
    assert len(tshark(saved).splitlines()) == said > 0
    saved.unlink()


def test_a_frame_that_is_typed_is_explained_rule_by_rule(shown: Shown) -> None:
    browser = shown.open("ports/web", token=False)
    browser.click("[role=tab]", "Explain")
    browser.find("textarea").send_keys("0180c200000e 020000000001 88cc")
    browser.click("form button[type=submit]")
    until(lambda: "Dropped" in browser.text(".verdict"), "the answer")
    assert Reason.RESERVED_ADDRESS.meaning in browser.text(".verdict")
    asked = {"port": "web", "frame": LLDP[:14].hex()}
    steps = shown.running.client.call("POST", "explain", asked)["steps"]
    rows = browser.all(".steps tbody tr")
    assert [row.find_element("css selector", "th").text for row in rows] == [step["rule"] for step in steps]
    assert "reserved_address" in rows[-1].text
    mono = browser.run("return getComputedStyle(document.querySelector('textarea')).fontFamily")
    assert "monospace" in mono, "octets stand under octets"


def test_a_frame_that_no_port_lets_out_is_said_to_have_a_reason_at_each(shown: Shown) -> None:
    browser = shown.open("ports/web", token=False)
    browser.click("[role=tab]", "Explain")
    long = "ffffffffffff 020000000001 0800" + "00" * 9000
    browser.run("document.querySelector('textarea').value = arguments[0]", long)
    browser.run("document.querySelector('textarea').dispatchEvent(new Event('input', {bubbles: true}))")
    browser.click("form button[type=submit]")
    until(lambda: "each port has a reason" in browser.text(".verdict"), "the sentence")
    assert "oversize" in browser.text("[role=tabpanel]")


def test_frames_are_shown_as_they_pass_and_only_with_the_token(shown: Shown) -> None:
    browser = shown.open("ports/cache", token=False)
    browser.click("[role=tab]", "Frames")
    until(lambda: "with the token" in browser.text("[role=tabpanel]"), "the sentence")
    browser = shown.open("ports/cache")
    browser.click("[role=tab]", "Frames")
    until(lambda: "LLDP" in browser.text(".frames"), "frames")
    assert "reserved_address" in browser.text(".frames")


def test_the_token_is_taken_out_of_sight_and_read_only_is_said(shown: Shown) -> None:
    browser = shown.open()
    browser.open(f"http://{shown.origin}/#token={TOKEN}")
    browser.find("main .card")
    assert "token" not in browser.driver.current_url
    until(lambda: "May change" in browser.text("header"), "what it may")
    browser = shown.open(token=False)
    until(lambda: "Read only" in browser.text("header"), "what it may not")
    browser.click("button", "Read only")
    browser.find("dialog input[type=password]").send_keys(TOKEN + Keys.ENTER)
    until(lambda: "May change" in browser.text("header"), "the token to hold")


@pytest.mark.parametrize("view", ["ports", "stations", "vlans", "drops", "talkers", "history"])
def test_what_is_typed_is_text_never_markup(shown: Shown, view: str) -> None:
    browser = shown.open(view)
    field = browser.find("main input[type=search]")
    field.send_keys(HTML)
    until(lambda: HTML in browser.text("main .empty"), "the sentence that nothing has it")
    assert not browser.all("img")
    field.send_keys(Keys.ESCAPE)
    until(lambda: not field.get_attribute("value"), "Escape to empty the search")


def test_what_the_switch_says_back_is_text_never_markup(shown: Shown) -> None:
    browser = shown.open("ports/web")
    browser.click("[role=tab]", "Capture")
    browser.find("input[name=filter]").send_keys(HTML)
    browser.click("form button[type=submit]")
    until(lambda: "not understood" in browser.text(".refusal"), "the refusal")
    assert "400" in "".join(browser.complaints()), "the browser notes the refusal"
    shown.go(f"ports/{HTML}")
    until(lambda: browser.text("dialog h2") == HTML, "a port of such a name")
    assert not browser.all("img")
    assert browser.driver.title != "owned"


def test_impairments_are_shown_where_the_switch_has_them(shown: Shown) -> None:
    paths = shown.running.client.call("GET", "openapi.json")["paths"]
    browser = shown.open("ports/cache")
    asked = "return performance.getEntriesByName(`${location.origin}/v1/openapi.json`).length"
    until(lambda: browser.run(asked), "the page to know what the switch can do")
    known = "/v1/ports/{port}/impair" in paths
    until(lambda: ("Impairments" in browser.text("[role=tablist]")) == known, "the tab, or none")
    if not known:
        return
    browser.click("[role=tab]", "Impairments")
    browser.find("input[name=delay]").send_keys("20ms")
    browser.click("form button[type=submit]")
    until(lambda: "20 ms" in browser.text("[role=tabpanel]"), "what was asked for")
    assert shown.running.ports()["cache"]["impair"]["directions"]["out"]["asked"]["delay"] == 0.02
    browser.click("form button", "no more")
    until(lambda: "does nothing to frames" in browser.text("[role=tabpanel]"), "it to be cleared")


def test_stations_are_found(shown: Shown) -> None:
    browser = shown.open("stations")
    until(lambda: len(browser.all("main tbody tr")) >= 3, "the stations")
    known = shown.running.client.call("GET", "fdb")
    mac = next(row["mac"] for row in known if row["port"] == "db")
    browser.press("/")
    browser.press(mac.replace(":", ""))
    until(lambda: len(browser.all("main tbody tr")) == 1, "one of them")
    assert "db" in browser.text("main tbody tr")


def test_conversations_and_history_are_shown(shown: Shown) -> None:
    browser = shown.open("talkers")
    until(lambda: "Mbit/s" in browser.text("main tbody"), "who talks")
    shown.go("history")
    until(lambda: "learned" in browser.text("main tbody"), "events")


def test_the_keyboard_is_enough(shown: Shown) -> None:
    browser = shown.open()

    def active(what: str) -> str:
        return str(browser.run(f"return document.activeElement.{what}"))

    browser.run("document.activeElement.blur()")
    browser.press(Keys.TAB)
    assert active("textContent") == "Skip to the content"
    browser.press(Keys.ENTER)
    assert active("id") == "content"
    browser.press(Keys.TAB)
    until(lambda: "web" in active("getAttribute('aria-label')"), "the first port of the picture")
    outline = browser.run("return getComputedStyle(document.activeElement.querySelector('.target')).strokeWidth")
    assert outline == "2px", "the focus is seen"
    browser.press(Keys.ARROW_RIGHT)
    assert "db" in active("getAttribute('aria-label')")
    browser.press(Keys.ENTER)
    browser.find("dialog[open]")
    assert active("getAttribute('aria-label')") == "Close"
    for _ in range(12):
        browser.press(Keys.TAB)
        if active("getAttribute('role')") == "tab":
            break
    browser.press(Keys.ARROW_RIGHT)
    until(lambda: "true" in active("getAttribute('aria-selected')"), "the next tab")
    browser.press(Keys.ESCAPE)
    until(lambda: not browser.all("dialog"), "Escape to close")
    assert "db" in active("getAttribute('aria-label')"), "the focus is where it was"
    browser.press("?")
    browser.find("dialog[open] .keys")
    browser.press(Keys.ESCAPE)
    until(lambda: not browser.all("dialog"), "Escape to close the help")
    browser.press("4")
    until(lambda: "Drops by reason" in browser.text("main"), "the fourth view")
    browser.press("t")
    until(lambda: browser.run("return document.documentElement.dataset.theme") == "dark", "the other theme")
    browser.press("p")
    until(lambda: "Paused" in browser.text(".banner"), "a pause")
    browser.press("p")
    until(lambda: not browser.all(".banner"), "it to go on")


def test_no_request_goes_elsewhere(shown: Shown) -> None:
    browser = shown.open()
    shown.go("talkers")
    until(lambda: browser.all("main tbody tr"), "rows")
    asked = set()
    for entry in browser.driver.get_log("performance"):  # type: ignore[no-untyped-call]
        message = json.loads(entry["message"])["message"]
        if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            asked.add(message["params"].get("url") or message["params"]["request"]["url"])
    there = {f"http://{shown.origin}/", f"ws://{shown.origin}/"}
    strangers = {url for url in asked if not url.startswith((*there, "about:", "blob:", "data:", "chrome:"))}
    assert strangers == set()
    assert any(url.startswith("ws:") for url in asked)


def test_it_comes_back_after_the_switch_does(shown: Shown) -> None:
    browser = shown.open()
    shown.running.stop()
    until(lambda: f"{shown.tag} is gone." in browser.text("#gone"), "the banner")
    assert [each.text for each in browser.all(".chart .values dd")] == ["\u2013"] * 2, "no zero"
    shown.running.start()
    until(lambda: not browser.all("#gone"), "the page to come back")
    until(lambda: shown.value("cache", DROPS) > 0 or shown.value("web", IN) > 0, "traffic again")
    assert all("ERR_CONNECTION_REFUSED" in line or "WebSocket" in line for line in browser.complaints())
