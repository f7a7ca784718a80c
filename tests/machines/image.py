"""A Linux that boots in seconds, from Debian packages alone: a kernel, and an initrd of busybox and a few modules."""

from __future__ import annotations

import functools
import gzip
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "linux-image-cloud-amd64"
BUSYBOX = Path("/bin/busybox")
MODULES = (
    "drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev", "drivers/virtio/virtio_pci", "net/core/failover",
    "drivers/net/net_failover", "drivers/net/virtio_net", "net/llc/llc", "net/802/stp", "net/802/garp", "net/802/mrp",
    "net/8021q/8021q",
)  # fmt: skip

INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module; done
ip link set lo up
sh /bin/commands </dev/ttyS1 >/dev/ttyS1 2>&1 &
while true; do sleep 1000; done
"""

COMMANDS = """\
stty raw -echo
echo ready
while IFS= read -r line; do (eval "$line") </dev/null; done
"""
"""Takes a command a line. It has no children of its own but that one, whose end would cut what is being read short."""

RECEIVE = """\
#!/bin/busybox sh
cat >/tmp/coming && mv /tmp/coming /tmp/come
"""
"""What `nc` runs for whoever connects: once the connection has ended, all that came is in /tmp/come."""


class Image(NamedTuple):
    """Two files for QEMU."""

    kernel: Path
    initrd: Path


@functools.cache
def image() -> Image:
    """The image, made once for each version of the kernel's package and kept in a folder of this user's."""
    depends = subprocess.run(["apt-cache", "depends", PACKAGE], check=True, capture_output=True, text=True).stdout
    package = next(line.split()[-1] for line in depends.splitlines() if "Depends: linux-image-" in line)
    policy = subprocess.run(["apt-cache", "policy", package], check=True, capture_output=True, text=True).stdout
    version = next(line.split()[-1] for line in policy.splitlines() if "Candidate:" in line)
    kept = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "vswitch-tests", f"{package}-{version}-5")
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=kept.parent))
        _make(package, made)
        try:
            made.rename(kept)
        except OSError:  # somebody else was first
            shutil.rmtree(made)
    return Image(kept / "kernel", kept / "initrd")


def _make(package: str, folder: Path) -> None:
    """Put both files into a folder."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        command = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", package]
        subprocess.run(command, cwd=work, check=True, capture_output=True)
        subprocess.run(["dpkg-deb", "-x", str(next(work.glob("*.deb"))), str(work / "root")], check=True)
        shutil.copy(next((work / "root/boot").glob("vmlinuz-*")), folder / "kernel")
        kernel = next((work / "root/lib/modules").glob("*/kernel"))
        files = {f"modules/{Path(module).name}.ko": (kernel / f"{module}.ko").read_bytes() for module in MODULES}
    files["modules/order"] = "\n".join(f"{Path(module).name}.ko" for module in MODULES).encode()
    files |= {"init": INIT.encode(), "bin/commands": COMMANDS.encode(), "bin/receive": RECEIVE.encode()}
    files["bin/busybox"] = BUSYBOX.read_bytes()
    (folder / "initrd").write_bytes(gzip.compress(b"".join(_archive(files)), 1))


def _archive(files: dict[str, bytes]) -> Iterator[bytes]:
    """A cpio archive in the format that the kernel reads (Documentation/driver-api/early-userspace/buffer-format)."""
    for folder in ("bin", "dev", "etc", "modules", "proc", "sys", "tmp"):
        yield _entry(folder, stat.S_IFDIR | 0o755, b"")
    for name, data in files.items():
        yield _entry(name, stat.S_IFREG | 0o755, data)
    yield _entry("TRAILER!!!", 0, b"")


def _entry(name: str, mode: int, data: bytes) -> bytes:
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
