"""What every benchmark stands on: guests in namespaces, programs on their cores, CPU time, tools made on the spot."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pyroute2 import IPRoute

from vswitch.ports import netns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SOURCES = Path(__file__).parent / "native"
PATIENCE = 30  # seconds until a program that does not answer is taken for dead

CORES = sorted(os.sched_getaffinity(0))
SWITCH_CORE, GUESTS_CORE = CORES[-1], CORES[0]


Program = subprocess.Popen[str]


class MissingError(Exception):
    """A contender cannot take part: what it lacks."""


class Lab:
    """`count` guests, each in a namespace of its own with an interface `p0` …; a context manager.

    Another namespace, `middle`, is for switches that make their interfaces where they run.
    """

    def __init__(self, count: int) -> None:
        """Nothing is made yet."""
        self.count = count
        self.middle = f"vswitch-perf-{os.getpid()}"
        self.folder = Path()
        self._stack = ExitStack()
        self._spaces: dict[str, netns.Namespace] = {}

    def __enter__(self) -> Self:
        """Make the namespaces."""
        with self._stack:
            self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="vswitch-perf-")))
            for name in (self.middle, *map(self.space, range(self.count))):
                self._spaces[name] = netns.make(name, lambda _: None)
                self._stack.callback(self._remove, name)
                with netns.inside(self._spaces[name]):  # the kernel's own chatter is not what is measured
                    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove them."""
        self._stack.close()

    def _remove(self, name: str) -> None:
        netns.remove(name)
        self._spaces.pop(name).close()

    def space(self, number: int) -> str:
        """The name of a guest's namespace."""
        return f"{self.middle}-{number}"

    def where(self, number: int) -> str:
        """A guest's interface, as the tools in `native/` want it."""
        return f"{self.space(number)}:p{number}"

    def address(self, number: int) -> str:
        """A guest's IPv4 address."""
        return f"10.66.0.{number + 1}"

    @contextmanager
    def inside(self, name: str) -> Iterator[IPRoute]:
        """Links and addresses of a namespace."""
        with netns.inside(self._spaces[name]), IPRoute() as ipr:
            yield ipr

    def hand(self, interface: str, number: int) -> None:
        """Give a guest an interface that was made in the middle."""
        with self.inside(self.middle) as ipr:
            ipr.link("set", ifname=interface, net_ns_fd=self._spaces[self.space(number)].fd)

    def set_up(self) -> None:
        """Addresses to every guest's interface, and up with it."""
        for number in range(self.count):
            with self.inside(self.space(number)) as ipr:
                index = ipr.link_lookup(ifname=f"p{number}")[0]
                ipr.link("set", index=index, state="up", mtu=1500)
                with suppress(Exception):
                    ipr.addr("add", index=index, address=self.address(number), prefixlen=24)

    def received(self, number: int) -> int:
        """Frames that a guest's interface has taken in, by the kernel's own count."""
        with self.inside(self.space(number)) as ipr:
            return int(ipr.get_links(ifname=f"p{number}")[0].get("stats64")["rx_packets"])

    def spawn(self, command: Sequence[str], *, core: int | str, space: str | None = None, **options: Any) -> Program:
        """Start a program on one core, in a namespace; it is ended with the lab."""
        options.setdefault("stdout", subprocess.DEVNULL)
        options.setdefault("stderr", subprocess.DEVNULL)
        pinned = ["taskset", "-c", str(core), *command]
        with netns.inside(self._spaces[space]) if space else nullcontext():
            process = subprocess.Popen(pinned, text=True, **options)
        self._stack.callback(stop, process)
        return process

    def run(self, command: Sequence[str], *, core: int | str = GUESTS_CORE, space: str | None = None) -> str:
        """What a program printed. Raises CalledProcessError."""
        process = self.spawn(command, core=core, space=space, stdout=subprocess.PIPE)
        printed, _ = process.communicate(timeout=20 * PATIENCE)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, list(command))
        return printed


def stop(process: Program) -> None:
    """End a program, gently first."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu(pids: Sequence[int]) -> float:
    """Seconds of CPU time that these processes have used, all their threads together (/proc/PID/task/TID/schedstat)."""
    used = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            used += int((task / "schedstat").read_text().split()[0])
    return used / 1e9


def memory(pids: Sequence[int]) -> float:
    """MiB of these processes that are in memory."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def needs(program: str, package: str) -> str:
    """The path of a program. Raises MissingError."""
    found = shutil.which(program)
    if found is None:
        raise MissingError(f"{program} is not installed (Debian: {package})")
    return found


@functools.cache
def tool(name: str) -> str:
    """A program of `native/`, compiled. Raises MissingError."""
    compiler = shutil.which("cc") or needs("gcc", "gcc")
    folder = Path(tempfile.gettempdir(), f"vswitch-perf-tools-{os.getuid()}-{os.getpid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    made = folder / name
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra"]
    subprocess.run([compiler, *flags, "-o", str(made), str(SOURCES / f"{name}.c")], check=True)
    return str(made)


def remove_tools() -> None:
    """Whatever `tool` compiled."""
    shutil.rmtree(Path(tempfile.gettempdir(), f"vswitch-perf-tools-{os.getuid()}-{os.getpid()}"), ignore_errors=True)
