"""A virtual machine as a guest of a lab."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.labs import RunningLab
from tests.machines.image import image
from tests.machines.machine import Shell
from tests.running import until
from vswitch.lab import rootless

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.program("qemu-system-x86_64", "busybox", "apt-get", "dpkg-deb"),
    pytest.mark.skipif(rootless.needed(), reason="needs root"),
]


def test_a_machine_and_a_namespace_on_two_switches_reach_each_other(tmp_path: Path) -> None:
    kernel, initrd = image()
    console = tmp_path / "console"
    arguments = ["-chardev", f"socket,id=c,path={console},server=on,wait=off", "-serial", "chardev:c"]
    machine = {"kernel": str(kernel), "initrd": str(initrd), "append": "console=ttyS0 quiet panic=-1 mitigations=off",
               "memory": 160, "accel": "tcg", "card": "romfile=", "arguments": arguments}  # fmt: skip
    topology = (
        "switches: {s1: , s2: }\nlinks: [[s1, s2]]\nguests:\n  a: {switch: s1, address: 10.87.0.1/24}\n"
        f"  vm: {{switch: s2, qemu: {json.dumps(machine)}}}\n"
    )
    with RunningLab(tmp_path, topology) as lab:
        until(console.exists, "the machine to start")
        shell = Shell(tmp_path / "shell.log")
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(console))
            shell.connect(line)
            shell.booted()
            shell.run("ip link set eth0 up; ip addr add 10.87.0.2/24 dev eth0")
            assert lab.guest("a").ping("10.87.0.2", timeout=10) is not None
            assert "0% packet loss" in shell.run("ping -c 1 10.87.0.1")
            row = lab.row("vm")
            assert (row["kind"], row["interfaces"][0]["state"], len(row["processes"])) == ("qemu", "up", 1)
            assert row["interfaces"][0]["mac"] in shell.run("cat /sys/class/net/eth0/address")
            assert lab.execute("vm", "true").returncode == 2
        assert lab.stop() == 0
        assert lab.left() == []
