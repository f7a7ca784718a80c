"""Who is measured: each starts a switch between the guests of a lab, and says which processes do its work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from perf.lab import PATIENCE, SWITCH_CORE, MissingError, needs, tool
from vswitch.fastpath.twins import FastPathError, choose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perf.lab import Lab


class Contender(ABC):
    """A switch. `start` leaves it running between all guests, until the lab ends."""

    name: ClassVar[str]
    label: ClassVar[str]

    def check(self) -> None:  # noqa: B027
        """Raises MissingError where it cannot take part."""

    def version(self) -> str:
        """Of the program."""
        return ""

    @abstractmethod
    def start(self, lab: Lab, **top: Any) -> list[int]:
        """Run; the processes whose CPU time counts, none where the kernel does the work. top: more configuration."""


class Vswitch(Contender):
    """This switch."""

    environment: ClassVar[dict[str, str]] = {}
    settings: ClassVar[dict[str, Any]] = {}

    def ports(self, lab: Lab) -> dict[str, dict[str, Any]]:
        """TAPs in the guests' namespaces."""
        guests = range(lab.count)
        return {f"p{n}": {"tap": f"p{n}", "netns": lab.space(n), "address": f"{lab.address(n)}/24"} for n in guests}

    def start(self, lab: Lab, **top: Any) -> list[int]:
        """Run it, until it says that it does."""
        file, socket = lab.folder / "perf.yml", lab.folder / "perf.sock"
        ports = self.ports(lab)
        config = {"name": "perf", "control": str(socket), **self.settings, **top, "ports": ports}
        file.write_text(yaml.safe_dump(config))
        process = lab.spawn(
            [sys.executable, "-m", "vswitch", "run", str(file)],
            core=SWITCH_CORE,
            stderr=subprocess.PIPE,
            env=os.environ | self.environment,
        )
        wait_for_line(process.stderr, " runs with ")
        return [process.pid]


class Native(Vswitch):
    """With the C twin."""

    name, label = "native", "vswitch"
    environment: ClassVar = {"VSWITCH_NATIVE": "require"}

    def check(self) -> None:
        """It has to be built."""
        try:
            choose("require")
        except FastPathError as error:
            raise MissingError(str(error)) from error


class Python(Vswitch):
    """With the Python twin."""

    name, label = "python", "vswitch, pure Python"
    environment: ClassVar = {"VSWITCH_NATIVE": "off"}


class PlainAsyncio(Vswitch):
    """With the Python twin, and without uvloop."""

    name, label = "asyncio", "vswitch, pure Python, asyncio's loop"
    environment: ClassVar = {"VSWITCH_NATIVE": "off", "VSWITCH_LOOP": "asyncio"}


class Sleepy(Native):
    """With the C twin, and without busy polling."""

    name, label = "no-poll", "vswitch, `busy_poll: 0`"
    settings: ClassVar = {"busy_poll": 0}


class Veth(Native):
    """With the C twin, and packet sockets on veth pairs in place of TAPs."""

    name, label = "veth", "vswitch, `interface`, veth"

    def ports(self, lab: Lab) -> dict[str, dict[str, Any]]:
        """The near ends of the guests' cables."""
        make_veths(lab)
        lab.set_up()
        return {f"p{n}": {"interface": f"v{n}", "netns": lab.middle} for n in range(lab.count)}


class Reference(Contender):
    """The C loop of `native/reference.c`, with superframes."""

    name, label = "c", "C epoll loop, virtio-net header"
    header: ClassVar = "10"

    def check(self) -> None:
        """It has to be compiled."""
        tool("reference")

    def start(self, lab: Lab, **top: Any) -> list[int]:  # noqa: ARG002
        """It makes the TAPs where they belong."""
        where = [lab.where(number) for number in range(lab.count)]
        process = lab.spawn([tool("reference"), self.header, *where], core=SWITCH_CORE, stdout=subprocess.PIPE)
        wait_for_line(process.stdout, "ready")
        lab.set_up()
        return [process.pid]


class BareReference(Reference):
    """The same without virtio-net header, hence without superframes."""

    name, label = "c-bare", "C epoll loop, no header"
    header: ClassVar = "0"


class Vde(Contender):
    """vde_switch of Debian's vde2."""

    name, label = "vde", "vde_switch"

    def check(self) -> None:
        """It has to be installed."""
        needs("vde_switch", "vde2")

    def version(self) -> str:
        """As it says itself."""
        return first_line("vde_switch", "--version")

    def start(self, lab: Lab, **top: Any) -> list[int]:  # noqa: ARG002
        """Its TAPs are made where it runs, and then handed to the guests."""
        taps = [part for number in range(lab.count) for part in ("-t", f"p{number}")]
        size = ["-n", str(max(32, lab.count + 2)), "--hashsize", "131072"]
        command = ["vde_switch", "-s", str(lab.folder / "vde"), *size, *taps]
        process = lab.spawn(command, core=SWITCH_CORE, space=lab.middle, stdin=subprocess.PIPE)
        wait_for_links(lab)
        for number in range(lab.count):
            lab.hand(f"p{number}", number)
        lab.set_up()
        return [process.pid]


class OpenVswitch(Contender):
    """Open vSwitch with its userspace datapath and TAPs of its own."""

    name, label = "ovs", "Open vSwitch, userspace, TAP"
    options: ClassVar[Sequence[str]] = ()
    kind: ClassVar = "tap"

    def check(self) -> None:
        """It has to be installed."""
        needs("ovs-vswitchd", "openvswitch-switch")

    def version(self) -> str:
        """As it says itself."""
        return first_line("ovs-vswitchd", "--version")

    def start(self, lab: Lab, **top: Any) -> list[int]:  # noqa: ARG002
        """A database and a daemon in the lab's folder; both end with it."""
        own = dict.fromkeys(("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"), str(lab.folder))
        environment = os.environ | own
        database = lab.folder / "conf.db"
        schema = "/usr/share/openvswitch/vswitch.ovsschema"
        subprocess.run(["ovsdb-tool", "create", str(database), schema], env=environment, check=True)
        remote = f"unix:{lab.folder}/db.sock"
        server = ["ovsdb-server", str(database), f"--remote=p{remote}", f"--unixctl={lab.folder}/db.ctl"]
        lab.spawn(server, core=SWITCH_CORE, space=lab.middle, env=environment)
        vsctl = ["ovs-vsctl", f"--db={remote}", f"--timeout={PATIENCE}", "--retry"]
        subprocess.run([*vsctl, "--no-wait", "init"], env=environment, check=True)
        if self.options:
            options = [*vsctl, "--no-wait", "set", "Open_vSwitch", ".", *self.options]
            subprocess.run(options, env=environment, check=True)
        program = ["ovs-vswitchd", remote, f"--unixctl={lab.folder}/vs.ctl"]
        daemon = lab.spawn(program, core=SWITCH_CORE, space=lab.middle, env=environment)
        self._make_links(lab)
        command = ["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev", "fail_mode=standalone"]
        command += ["other_config:mac-table-size=1000000"]
        for number in range(lab.count):
            command += ["--", "add-port", "br0", self._port(number)]
            command += ["--", "set", "Interface", self._port(number), f"type={self.kind}"] if self.kind else []
        subprocess.run([*vsctl, *command], env=environment, check=True)
        self._hand_links(lab)
        lab.set_up()
        time.sleep(0.5)
        return [daemon.pid]

    def _port(self, number: int) -> str:
        return f"p{number}"

    def _make_links(self, lab: Lab) -> None:
        pass

    def _hand_links(self, lab: Lab) -> None:
        wait_for_links(lab)
        for number in range(lab.count):
            lab.hand(f"p{number}", number)


class OpenVswitchTso(OpenVswitch):
    """Open vSwitch with its userspace datapath, veth pairs and superframes."""

    name, label = "ovs-tso", "Open vSwitch, userspace, veth, TSO"
    options: ClassVar = ("other_config:userspace-tso-enable=true",)
    kind: ClassVar = ""

    def _port(self, number: int) -> str:
        return f"v{number}"

    def _make_links(self, lab: Lab) -> None:
        make_veths(lab)

    def _hand_links(self, lab: Lab) -> None:
        pass


class KernelBridge(Contender):
    """The kernel's bridge, with veth pairs: nothing passes userspace, so this is what cannot be reached."""

    name, label = "bridge", "kernel bridge, veth"

    def version(self) -> str:
        """Of the kernel."""
        return f"Linux {os.uname().release}"

    def start(self, lab: Lab, **top: Any) -> list[int]:  # noqa: ARG002
        """A bridge in a namespace of its own."""
        make_veths(lab)
        with lab.inside(lab.middle) as ipr:
            ipr.link("add", ifname="br0", kind="bridge", br_stp_state=0, br_mcast_snooping=0)
            bridge = ipr.link_lookup(ifname="br0")[0]
            ipr.link("set", index=bridge, state="up")
            for number in range(lab.count):
                ipr.link("set", ifname=f"v{number}", master=bridge)
        lab.set_up()
        time.sleep(0.5)
        return []


EVERY: tuple[type[Contender], ...] = (
    *(Native, Python, PlainAsyncio, Sleepy, Veth),
    *(Reference, BareReference, Vde, OpenVswitch, OpenVswitchTso, KernelBridge),
)
CONTENDERS: dict[str, Contender] = {contender.name: contender() for contender in EVERY}


def make_veths(lab: Lab) -> None:
    """A pair for each guest: `v0` … where the switch is, `p0` … at the guest."""
    with lab.inside(lab.middle) as ipr:
        for number in range(lab.count):
            ipr.link("add", ifname=f"v{number}", kind="veth", peer={"ifname": f"p{number}"})
            ipr.link("set", ifname=f"v{number}", state="up")
    for number in range(lab.count):
        lab.hand(f"p{number}", number)


def wait_for_line(stream: Any, wanted: str) -> None:
    """Read until a line has the wanted words; then let the rest flow away. Raises SystemExit at the end."""
    seen = []
    for line in stream:
        if wanted in line:
            return
        seen.append(line)
    raise SystemExit(f"it did not start: {''.join(seen)}")


def wait_for_links(lab: Lab) -> None:
    """Until every interface is there."""
    wanted = {f"p{number}" for number in range(lab.count)}
    deadline = time.monotonic() + PATIENCE
    while True:
        with lab.inside(lab.middle):
            there = {file.name for file in Path("/proc/thread-self/net/dev_snmp6").iterdir()}
        if wanted <= there:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"no interfaces {', '.join(sorted(wanted - there))}")
        time.sleep(0.02)


def first_line(*command: str) -> str:
    """Of what a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).splitlines()[0]
