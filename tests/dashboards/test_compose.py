"""The compose file: Docker's own program takes it, it opens nothing to other machines, and what it mounts is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dashboards.expressions import DASHBOARDS, PROMETHEUS, ROOT

COMPOSE = ROOT / "configs/monitoring/compose.yml"
PROVISIONING = ROOT / "configs/grafana/provisioning"
FOLDERS = {"/etc/prometheus", "/etc/grafana/provisioning", "/etc/grafana/dashboards"}


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


SERVICES: dict[str, dict[str, Any]] = load(COMPOSE)["services"]
SETTINGS: dict[str, str] = SERVICES["grafana"]["environment"]


def mounted(inside: str) -> Path:
    """The file of this repository that a container has at this place."""
    for service in SERVICES.values():
        for volume in service["volumes"]:
            source, target, *_ = volume.split(":")
            if source.startswith(".") and Path(inside).is_relative_to(target):
                folder: Path = (COMPOSE.parent / source).resolve()
                return folder / Path(inside).relative_to(target)
    raise AssertionError(f"nothing is mounted at {inside}")


def flags() -> dict[str, str]:
    """What Prometheus is told."""
    return dict(flag.removeprefix("--").split("=", 1) for flag in SERVICES["prometheus"]["command"])


@pytest.mark.program("docker-compose")
def test_compose_takes_the_file() -> None:
    words = ["docker-compose", "-f", str(COMPOSE), "config"]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert set(yaml.safe_load(result.stdout)["services"]) == {"prometheus", "grafana"}


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_container_is_of_one_version_and_may_do_little(service: dict[str, Any]) -> None:
    assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    for volume in service["volumes"]:
        source, _, options = (*volume.split(":"), "")[:3]
        assert options == "ro" or source in load(COMPOSE)["volumes"], volume


def test_all_listen_on_loopback_alone() -> None:
    assert all(service["network_mode"] == "host" and "ports" not in service for service in SERVICES.values())
    assert flags()["web.listen-address"].startswith("127.0.0.1:")
    assert SETTINGS["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"


def test_what_is_mounted_and_named_is_there() -> None:
    assert all(mounted(folder).is_dir() for folder in FOLDERS)
    config = mounted(flags()["config.file"])
    assert config == PROMETHEUS / "prometheus.yml"
    assert all((config.parent / name).is_file() for name in load(config)["rule_files"])
    assert mounted(SETTINGS["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]) in DASHBOARDS


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    (source,) = load(PROVISIONING / "datasources/prometheus.yml")["datasources"]
    assert source["url"] == f"http://{flags()['web.listen-address']}"
    assert source["jsonData"]["timeInterval"] == load(PROMETHEUS / "prometheus.yml")["global"]["scrape_interval"]
    (provider,) = load(PROVISIONING / "dashboards/vswitch.yml")["providers"]
    assert sorted(mounted(provider["options"]["path"]).iterdir()) == DASHBOARDS


def test_prometheus_reads_the_switch_of_the_first_example() -> None:
    (job,) = load(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    (static,) = job["static_configs"]
    assert static["targets"] == [load(ROOT / "configs/three-guests.yml")["metrics"]["listen"]]
