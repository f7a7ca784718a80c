"""The pictures of docs/images, of a real switch with real traffic: `python -m tests.page.screenshots`, as root."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from pyroute2 import IPRoute

from tests.page.browser import Browser
from tests.page.conftest import Shown
from tests.page.scene import LLDP, TAGGED
from tests.running import until
from vswitch.ports import netns

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"

PORTS: Final[dict[str, dict[str, Any]]] = {
    name: {} for name in ("web", "db", "cache", "queue", "build", "ci", "mon", "backup", "office", "printer", "lan")
}

SIZES: Final = {"desk": (1440, 980), "phone": (390, 844)}


def busy(shown: Shown) -> None:
    """Guests that talk, one that sends what is not relayed, one in a VLAN that there is not, one that is down."""
    guests, traffic = shown.guests, shown.traffic
    traffic.stream(guests["db"], guests["web"], guests.address("web"), 120_000_000)
    for sender, receiver, bits, swing in (
        ("web", "cache", 9e6, 0.6), ("cache", "web", 26e6, 0.5), ("web", "lan", 14e6, 0.7), ("lan", "web", 2.5e6, 0.4),
        ("build", "ci", 3e6, 0.9), ("queue", "build", 7e5, 0.5), ("mon", "db", 9e4, 0.2), ("ci", "queue", 4e5, 0.5),
    ):  # fmt: skip
        traffic.datagrams(guests[sender], guests[receiver], guests.address(receiver), bits, swing)
    traffic.frames(guests["backup"], guests.device("backup"), LLDP, 6)
    traffic.frames(guests["office"], guests.device("office"), TAGGED, 21)
    namespace = netns.find(guests.device("printer"))
    assert namespace is not None
    with netns.inside(namespace), IPRoute() as ipr:
        ipr.link("set", index=ipr.link_lookup(ifname=guests.device("printer"))[0], state="down")
    namespace.close()
    traffic.start()


def take(shown: Shown, folder: Path, name: str, place: str, *, theme: str, size: str = "desk", tab: str = "") -> None:
    """One picture, of a page that is open already."""
    browser = shown.browser
    browser.size(*SIZES[size], scale=2 if size == "phone" else 1)
    browser.prefer(prefers_color_scheme=theme)
    shown.go(place)
    if tab:
        browser.click("[role=tab]", tab)
    if tab == "Explain":
        browser.click("button.word", "LLDP")
        browser.click("dialog button.main")
        browser.find(".verdict")
    browser.run("document.activeElement.blur()")
    time.sleep(2.5)
    path = folder / f"{name}.png"
    browser.picture(path)
    if pngquant := shutil.which("pngquant"):  # a third of the size, where it is there
        subprocess.run([pngquant, "--force", "--skip-if-larger", "--output", path, path], check=True)


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=150.0, help="how long the traffic goes on before")
    parser.add_argument("--to", type=Path, default=IMAGES, help="the folder that they go to")
    asked = parser.parse_args()
    asked.to.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        Browser() as browser,
        Shown(Path(folder), browser, PORTS, name="lab0", tag="lab", vlan_filtering=True) as shown,
    ):
        busy(shown)
        shown.open()
        time.sleep(asked.seconds)
        take(shown, asked.to, "page-light", "ports", theme="light")
        take(shown, asked.to, "page-dark", "ports", theme="dark")
        take(shown, asked.to, "page-port", "ports/office", theme="light", tab="Explain")
        take(shown, asked.to, "page-phone", "ports", theme="dark", size="phone")
        until(lambda: not browser.complaints(), "nothing to complain of")


if __name__ == "__main__":
    main()
