"""What the page on containers says of Podman, with real containers, whose image is a folder with busybox in it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.test_readme import ROOT, commands, script
from tests.isolated import PREFIX
from tests.privileges import takes_root

PAGE = Path("docs/containers.md")
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
IMAGE = "docker.io/library/alpine"


def image(folder: Path) -> str:
    """Options in place of an image's name."""
    for name in ("bin", "dev", "etc", "proc", "run", "sys", "tmp"):
        (folder / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", folder / "bin")
    for name in ("sleep", "ip"):
        (folder / "bin" / name).symlink_to("busybox")
    return f"--ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --rootfs {folder}"


@takes_root
@pytest.mark.program("podman", "runc", "busybox", "ip", "nsenter", "ping")
def test_the_page_s_commands_with_containers(tmp_path: Path) -> None:
    """All that Podman keeps is in the /run of the test: the machine's own containers are not touched."""
    places = " ".join(f"--{name} /run/podman/{name}" for name in ("root", "runroot", "tmpdir"))
    podman = f"podman {places} --storage-driver vfs --runtime runc --cgroup-manager cgroupfs --events-backend none"
    by_process, by_name = (
        [line.removeprefix("# ") for line in block.splitlines()] for block in CONSOLE.findall((ROOT / PAGE).read_text())
    )
    typed = commands(PAGE)
    place = next(number for number, line in enumerate(typed) if line.startswith("unshare "))
    typed[place : place + 2] = by_process
    text = script([*typed, *by_name]).replace("podman ", f"{podman} ").replace(IMAGE, image(tmp_path / "image"))
    text = text.replace("trap '", f"trap '{podman} rm --force --time 0 --all >/dev/null || true; ", 1)
    path = f"export PATH={Path(sys.executable).parent}:$PATH\n"
    result = subprocess.run(
        [*PREFIX, "bash", "-c", path + text], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    assert "inet 10.0.0.1/24" in result.stdout.rpartition("ip address show web0")[2]
