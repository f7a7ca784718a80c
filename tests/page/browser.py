"""A real browser without a window: Chromium, driven by chromedriver, both as the distribution has them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from tests.running import until

if TYPE_CHECKING:
    from selenium.webdriver.remote.webelement import WebElement

AXE = Path(__file__).parent / "vendor" / "axe.js"

_WATCH = """
window.__refused = [];
document.addEventListener('securitypolicyviolation',
    (event) => window.__refused.push(event.violatedDirective + ' ' + event.blockedURI));
"""


class Browser:
    """One browser with one window. A context that ends it."""

    def __init__(self, width: int = 1440, height: int = 900) -> None:
        """Raises WebDriverException where it does not start."""
        self.home = Path(tempfile.mkdtemp(prefix="vswitch-browser-"))
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or "chromium"
        for argument in (
            "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--force-color-profile=srgb", f"--user-data-dir={self.home / 'profile'}", "--lang=en-GB",
        ):  # fmt: skip
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        options.add_experimental_option("prefs", {"download.default_directory": str(self.downloads)})
        self.downloads.mkdir()
        service = Service(shutil.which("chromedriver") or "chromedriver", log_output=os.devnull)
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WATCH})
        self.driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(self.downloads)}
        )
        self.size(width, height)

    @property
    def downloads(self) -> Path:
        """Where what is downloaded goes."""
        return self.home / "downloads"

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.quit()
        shutil.rmtree(self.home, ignore_errors=True)

    def size(self, width: int, height: int, scale: float = 1.0) -> None:
        """Have a page of this size, a phone's where it is narrow."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 500},
        )

    def prefer(self, **features: str) -> None:
        """What the system prefers, such as prefers_color_scheme="dark"."""
        media = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})

    def open(self, url: str) -> None:
        """Another page, from its beginning."""
        self.driver.get("about:blank")
        self.driver.get(url)

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of some JavaScript."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> WebElement:
        """The first element, once it is there."""
        until(lambda: self.all(selector), f"{selector} to be there")
        return self.all(selector)[0]

    def all(self, selector: str) -> list[WebElement]:
        """The elements that are there."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def press(self, *keys: str) -> None:
        """Keys, to whatever has the focus."""
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def click(self, selector: str, text: str = "") -> None:
        """Click on the first of these elements, that which has the text if one is given."""
        until(lambda: any(text in each.text for each in self.all(selector)), f"{selector} with {text!r}")
        next(each for each in self.all(selector) if text in each.text).click()

    def text(self, selector: str = "body") -> str:
        """What is to be read there; nothing while it is drawn anew."""
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def complaints(self) -> list[str]:
        """What the console or the security policy had to say since the last time."""
        lines = [f"{each['level']}: {each['message']}" for each in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]
        return lines + list(self.run("const found = window.__refused ?? []; window.__refused = []; return found"))

    def downloaded(self, suffix: str) -> Path:
        """The one file of this kind that was downloaded, once it is whole."""
        until(lambda: self._whole(suffix), f"a download of {suffix}")
        return next(self.downloads.glob(f"*{suffix}"))

    def _whole(self, suffix: str) -> bool:
        names = [path.name for path in self.downloads.iterdir()]
        return any(name.endswith(suffix) for name in names) and not any(name.endswith(".crdownload") for name in names)

    def fits(self) -> bool:
        """Whether nothing makes the page scroll sideways."""
        return bool(self.run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth"))

    def axe(self) -> list[str]:
        """What axe-core finds wrong with the page as it is, in its own words."""
        self.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text()})
        found = self.driver.execute_async_script(
            "axe.run(document, {resultTypes: ['violations']}).then((all) => arguments[0](all.violations))"
        )
        return [f"{each['id']}: {node['html']} {node['failureSummary']}" for each in found for node in each["nodes"]]

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Save what is seen, or the whole page, as PNG."""
        import base64

        answer = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole}
        )
        path.write_bytes(base64.b64decode(answer["data"]))
