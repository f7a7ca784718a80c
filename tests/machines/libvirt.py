"""libvirt's real daemon, with folders of its own in a mount namespace of its own: the host's is not touched."""

from __future__ import annotations

import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from tests.machines.image import image
from tests.machines.machine import Shell
from tests.running import until

if TYPE_CHECKING:
    from collections.abc import Sequence

START = """
set -e
mount --make-rprivate /
for folder in /run /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt; do
    mount -t tmpfs none $folder
done
mkdir -p /etc/libvirt/qemu
cat >/etc/libvirt/qemu.conf <<END
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = [ ]
namespaces = [ ]
END
printf 'auth_unix_rw = "none"\\n' >/etc/libvirt/libvirtd.conf
libvirtd --timeout 300 &
wait
"""
"""The shell stays, as the first process of its namespace: somebody has to reap the machines that were daemons."""

DOMAIN = """
<domain type="qemu">
  <name>{name}</name>
  <memory unit="MiB">160</memory>
  <os>
    <type arch="x86_64" machine="q35">hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 mitigations=off</cmdline>
  </os>
  <on_reboot>destroy</on_reboot>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <serial type="file"><source path="{log}"/></serial>
    <serial type="unix"><source mode="bind" path="{commands}"/></serial>
    <memballoon model="none"/>
    <video><model type="none"/></video>
  </devices>
</domain>
"""


class Libvirt:
    """A daemon as a context; its machines end with it."""

    def __init__(self, folder: Path) -> None:
        """folder: for what it says."""
        self.log = folder / "libvirtd.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Libvirt:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", START],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        until(self._answers, "libvirt's daemon to answer")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def virsh(self, *words: str) -> str:
        """What a command of virsh prints; an AssertionError where it fails."""
        result = self._virsh(words)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def start(self, name: str, folder: Path, pieces: Sequence[tuple[str, str]]) -> Domain:
        """A machine with these elements added to its XML: each with the element that it belongs in."""
        return Domain(self, name, folder, pieces)

    def _virsh(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        inside = ["nsenter", "--mount", "--target", *children[:1]]
        return subprocess.run(
            [*inside, "virsh", "--connect", "qemu:///system", *words], capture_output=True, text=True, check=False
        )

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        return self._virsh(["version"]).returncode == 0


class Domain(Shell):
    """A machine of libvirt's as a context."""

    def __init__(self, libvirt: Libvirt, name: str, folder: Path, pieces: Sequence[tuple[str, str]]) -> None:
        """As of `Libvirt.start`."""
        super().__init__(folder / f"{name}.console")
        self.name = name
        self._libvirt = libvirt
        self._file = folder / f"{name}.xml"
        self._commands = folder / f"{name}.commands"
        kernel, initrd = image()
        text = DOMAIN.format(name=name, kernel=kernel, initrd=initrd, log=self.log, commands=self._commands)
        domain = ElementTree.fromstring(text)
        devices = domain.find("devices")
        assert devices is not None
        for piece, parent in pieces:
            (domain if parent == "domain" else devices).append(ElementTree.fromstring(piece))
        self._file.write_text(ElementTree.tostring(domain, encoding="unicode"))

    def __enter__(self) -> Domain:
        self._libvirt.virsh("create", "--validate", str(self._file))
        channel = socket.socket(socket.AF_UNIX)
        channel.connect(str(self._commands))
        self.connect(channel)
        self.booted()
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()
        with suppress(AssertionError):
            self._libvirt.virsh("destroy", self.name)
