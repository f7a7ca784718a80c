"""The container image: its Dockerfile's steps over a fresh Debian, then a switch in it with what it says it needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.interop.dockerfile import Builder, Image
from tests.privileges import takes_root

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTEXT = Path(__file__).parents[2]
SUITE = "bookworm"
PACKAGES = "python3,python3-dev,python3-venv,ca-certificates"
PATIENCE = 30  # seconds until a switch that does not answer is taken for dead
CONFIG = "name: image\nports:\n  guest: {tap: image0}\nmetrics: {listen: 0.0.0.0:9475, insecure: true}\n"

pytestmark = [
    pytest.mark.program("debootstrap"),
    takes_root,
    pytest.mark.timeout(900),
]


def test_it_runs_as_an_ordinary_user_without_capabilities(image: Image) -> None:
    status = dict(line.split(":", 1) for line in check(image.contained(["cat", "/proc/self/status"])).splitlines())
    assert (status["Uid"].split(), status["Gid"].split()) == (["10001"] * 4, ["0"] * 4)
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}


def test_the_entry_point_is_the_program(image: Image) -> None:
    assert "explain" in check(image.contained([*image.calls["ENTRYPOINT"], "--help"]))


def test_the_package_stands_without_its_source(image: Image) -> None:
    where = check(image.contained(["/opt/vswitch/bin/python", "-c", "import vswitch; print(vswitch.__file__)"]))
    assert where.startswith("/opt/vswitch/lib/")
    assert not (image.root / "src").exists()


def test_the_native_fast_path_was_built(image: Image) -> None:
    choice = "from vswitch.fastpath.twins import choose; print(choose('require').name)"
    assert check(image.contained(["/opt/vswitch/bin/python", "-c", choice])) == "native\n"
    assert not (image.root / "usr/bin/gcc").exists()


def test_a_switch_with_a_tap_runs_with_the_documented_powers_alone(image: Image) -> None:
    (image.root / "etc/vswitch/vswitch.yml").write_text(CONFIG)
    powers = documented_powers()
    with started(image.contained([*image.calls["ENTRYPOINT"], *image.calls["CMD"]], *powers)) as switch:
        ports = healthy(image, switch)
        assert [(port["port"], port["device"], port["state"]) for port in ports] == [("guest", "image0", "up")]
        os.kill(first_process(switch), signal.SIGTERM)
        assert switch.wait(PATIENCE) == 0


def test_a_switch_without_those_powers_says_so_in_one_sentence(image: Image) -> None:
    (image.root / "etc/vswitch/vswitch.yml").write_text(CONFIG)
    call = image.contained([*image.calls["ENTRYPOINT"], *image.calls["CMD"]])
    refused = subprocess.run(call, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image that the Dockerfile makes, over a Debian from where this machine has its own."""
    work = tmp_path_factory.mktemp("image")
    base = work / "base"
    try:
        fetch = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(base), debian_mirror()]
        subprocess.run(fetch, check=True, stdout=subprocess.DEVNULL)
        yield Builder(CONTEXT, base, work, index_settings(), index_files()).build()
    finally:
        shutil.rmtree(work)


def debian_mirror() -> str:
    """Where this machine's package manager has the suite from."""
    folder = Path("/etc/apt/sources.list.d")
    for file in [*folder.glob("*.sources")]:
        for entry in file.read_text().split("\n\n"):
            fields = dict(re.findall(r"^(\w[\w-]*):\s*(.*)$", entry, re.MULTILINE))
            if fields.get("Enabled") != "no" and SUITE in fields.get("Suites", "").split():
                return str(fields["URIs"].split()[0])
    for file in [Path("/etc/apt/sources.list"), *folder.glob("*.list")]:
        text = file.read_text() if file.exists() else ""
        if line := re.search(rf"^deb\s+(?:\[.*?\]\s*)?(\S+)\s+{SUITE}\s", text, re.MULTILINE):
            return line[1]
    pytest.skip(f"this machine's package manager knows no mirror of Debian {SUITE}")


def index_settings() -> dict[str, str]:
    """How this machine's pip is told where packages are, and how to get there."""
    wanted = re.compile(r"PIP_\w+|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|\w+_proxy", re.IGNORECASE)
    return {name: value for name, value in os.environ.items() if wanted.fullmatch(name)}


def index_files() -> list[Path]:
    """The files of pip's configuration and those it names; an index that is a folder links to its neighbours."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    named = re.findall(r"(file://)?(/[^\s'\"]+)", "\n".join([listed, *index_settings().values()]))
    files = {Path(path).parent if index else Path(path) for index, path in named}
    files |= {Path("/etc/pip.conf"), Path("/etc/resolv.conf"), Path("/etc/hosts")}
    files |= {Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf"}
    return sorted(path for path in files if path.exists())


def documented_powers() -> tuple[str, list[str]]:
    """The user and the capabilities of the call that the Dockerfile's head gives for making TAPs."""
    head, _, _ = (CONTEXT / "Dockerfile").read_text().partition("FROM ")
    call = head[head.index("docker run") :]
    return re.findall(r"--user (\w+)", call)[0], re.findall(r"--cap-add (\w+)", call)


@contextmanager
def started(call: list[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(call, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def first_process(container: subprocess.Popen[str]) -> int:
    """What is pid 1 in the container."""
    return int(Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split()[0])


def healthy(image: Image, switch: subprocess.Popen[str]) -> list[dict[str, object]]:
    """The ports, as soon as the health check passes."""
    call = image.contained(image.calls["HEALTHCHECK"], *documented_powers())
    deadline = time.monotonic() + PATIENCE
    while True:
        look = subprocess.run(call, capture_output=True, text=True, check=False)
        if look.returncode == 0:
            ports: list[dict[str, object]] = json.loads(look.stdout)
            return ports
        assert switch.poll() is None, "the switch ended"
        assert time.monotonic() < deadline, look.stderr
        time.sleep(0.2)


def check(call: list[str]) -> str:
    return subprocess.run(call, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
