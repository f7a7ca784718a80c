"""A real User-Mode Linux on a port of a directory of vde_switch's."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.running import Running, unique

if TYPE_CHECKING:
    from pathlib import Path

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
ip addr add 10.84.20.2/24 dev eth0; ip link set eth0 up
ping -c 3 -W 5 10.84.20.1
poweroff -f
"""


@pytest.mark.program("linux.uml", "busybox")
@pytest.mark.parametrize(("more", "port"), [("", "first"), (",,9", "nine")])
def test_it_talks_to_a_namespace(tmp_path: Path, more: str, port: str) -> None:
    tag, vde, root = unique("u"), tmp_path / "vde", tmp_path / "root"
    for name in ("bin", "dev", "proc"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin")
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    ports = {
        "web": {"tap": tag, "netns": tag, "address": "10.84.20.1/24"},
        "first": {"vde": str(vde)},
        "nine": {"vde": str(vde), "number": 9},
    }
    with Running(tmp_path, {"name": tag, "ports": ports}) as switch:
        command = [
            "linux.uml", "mem=64M", "root=/dev/root", "rootfstype=hostfs", f"rootflags={root}", "rw", "init=/init",
            f"uml_dir={tmp_path}/uml", f"eth0=vde,{vde}{more}", "con=null", "con0=null,fd:1",
        ]  # fmt: skip
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=120, check=False
        )
        assert ", 3 packets received" in result.stdout
        assert switch.ports()[port]["receive"]["unicast"] >= 3
