"""A real Prometheus, told what the compose file says, with the rules of configs/prometheus; alerts wait for nothing."""

from __future__ import annotations

import json
import math
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from tests.dashboards.expressions import PROMETHEUS
from tests.dashboards.test_compose import flags
from tests.running import PATIENCE, until

if TYPE_CHECKING:
    from pathlib import Path


class Sample(NamedTuple):
    """One series of an answer, at one time."""

    labels: dict[str, str]
    value: float


class Prometheus:
    """A server on loopback: a context that ends it."""

    def __init__(self, folder: Path, port: int, targets: list[str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._targets = targets
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Prometheus:
        self._configure()
        told = {
            **flags(),
            "config.file": self._folder / "prometheus.yml",
            "storage.tsdb.path": self._folder / "data",
            "web.listen-address": self.url.removeprefix("http://"),
        }
        with (self._folder / "prometheus.log").open("wb") as log:
            words = ["prometheus", *(f"--{name}={value}" for name, value in told.items())]
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        until(self._ready, "Prometheus to start")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)

    def _configure(self) -> None:
        """The files of configs/, but for the target, the intervals, and how long alerts wait."""
        config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        (job,) = config["scrape_configs"]
        job["static_configs"] = [{"targets": self._targets}]
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        for name in config["rule_files"]:
            groups = yaml.safe_load((PROMETHEUS / name).read_text())
            for group in groups["groups"]:
                for rule in group["rules"]:
                    if "alert" in rule:
                        rule["for"] = "0s"
            (self._folder / name).write_text(yaml.safe_dump(groups))

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "prometheus.log").read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def call(self, path: str, **arguments: str) -> Any:
        """What the API answers. A query that it refuses fails the test, with its reason."""
        data = urllib.parse.urlencode(arguments).encode() if arguments else None
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}", data, timeout=PATIENCE) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{arguments}: {error.read().decode()}") from error

    def query(self, expression: str, at: float | None = None) -> list[Sample]:
        """What an expression is, now or at a time. Raises AssertionError where a value is no finite number."""
        arguments = {"query": expression} if at is None else {"query": expression, "time": f"{at:.3f}"}
        answer = self.call("query", **arguments)
        assert answer["resultType"] == "vector", expression
        samples = [Sample(series["metric"], float(series["value"][1])) for series in answer["result"]]
        assert all(math.isfinite(sample.value) for sample in samples), f"{expression}: {samples}"
        return samples
