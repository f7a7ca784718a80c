"""Open vSwitch with its userspace datapath, the guests' TAPs as its ports."""

from __future__ import annotations

import os
import select
import subprocess
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING

from tests.conformance.frames import MARKER_TYPE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from tests.conformance.frames import Sent
    from tests.conformance.ours import Egress
    from tests.conformance.taps import Guests
    from vswitch.core.port import PortSettings

_PATIENCE = 30  # seconds until a program that does not answer is taken for dead
_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
_BRIDGE = "bridge"
_MARKER = b"\xff" * 6 + bytes.fromhex("0200000000ff") + MARKER_TYPE.to_bytes(2)


class OpenVSwitch:
    """An ovsdb-server and an ovs-vswitchd of our own, with one bridge; a context manager.

    It must decide about each frame by itself, not by what it cached of an earlier one: its cached flows learn of a
    station's move up to half a second late. So it is left no room for a flow (`flow-limit`).

    A marker frame follows each frame, and a flow floods markers whatever the VLANs are; between two of them stands what
    left for one frame. Order is kept, since a frame that has no cached flow is dealt with before the next is looked at.
    No port is `protected`: that would hold markers up, too.
    """

    def __init__(self, folder: Path, guests: Guests, settings: Sequence[PortSettings]) -> None:
        """Nothing runs yet. `folder` is for the sockets, the database and logs."""
        self._folder = folder
        self._guests = guests
        self._settings = settings
        self._stack = ExitStack()
        self._markers = count(1)

    def __enter__(self) -> OpenVSwitch:
        """Start the programs and make the bridge."""
        with self._stack:
            self._start()
            self._configure()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the programs."""
        self._stack.close()

    def exchange(self, batch: Sequence[Sent]) -> list[Egress]:
        """Send the frames, all into one port; what left for each. What came back to that port stands with the last."""
        if not batch:
            return []
        ingress = batch[0].port
        markers = []
        for sent in batch:
            self._guests.send(ingress, sent.octets)
            markers.append(_MARKER + next(self._markers).to_bytes(8) + bytes(38))
            self._guests.send(ingress, markers[-1])
        left: list[list[tuple[int, bytes]]] = [[] for _ in batch]
        for port in range(len(self._settings)):
            if port != ingress:
                for frames, marker in zip(left, markers, strict=True):
                    while (octets := self._next(port)) != marker:
                        frames.append((port, octets))
        while (echo := self._guests.receive(ingress)) is not None:
            left[-1].append((ingress, echo))
        return [tuple(sorted(frames)) for frames in left]

    def _next(self, port: int) -> bytes:
        """The next frame that this guest gets, waited for."""
        while (octets := self._guests.receive(port)) is None:
            ready, _, _ = select.select([self._guests.fileno(port)], [], [], _PATIENCE)
            assert ready, f"no marker came to port {port}; see {self._folder}"
        return octets

    def _start(self) -> None:
        database = self._folder / "conf.db"
        self._run("ovsdb-tool", "create", str(database), _SCHEMA)
        self._spawn("ovsdb-server", str(database), f"--remote=punix:{self._database}")
        self._spawn("ovs-vswitchd", f"unix:{self._database}")

    def _configure(self) -> None:
        vsctl = ["ovs-vsctl", f"--db=unix:{self._database}", f"--timeout={_PATIENCE}", "--retry"]
        bridge = ["datapath_type=netdev", "fail_mode=standalone", "other_config:mac-aging-time=3600"]
        command = ["set", "Open_vSwitch", ".", "other_config:flow-limit=0"]
        command += ["--", "add-br", _BRIDGE, "--", "set", "Bridge", _BRIDGE, *bridge]
        for name, port in zip(self._guests.names, self._settings, strict=True):
            command += ["--", "add-port", _BRIDGE, name, *_columns(port)]
        self._run(*vsctl, *command)
        flow = f"priority=100,dl_type={MARKER_TYPE:#06x},actions=all"
        self._run("ovs-ofctl", "add-flow", f"unix:{self._folder}/{_BRIDGE}.mgmt", flow)

    @property
    def _database(self) -> str:
        return str(self._folder / "db.sock")

    def _environment(self) -> dict[str, str]:
        own = dict.fromkeys(("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"), str(self._folder))
        return os.environ | own

    def _run(self, *command: str) -> None:
        subprocess.run(command, env=self._environment(), check=True, timeout=2 * _PATIENCE)

    def _spawn(self, program: str, *arguments: str) -> None:
        command = [program, *arguments, f"--unixctl={self._folder}/{program}.ctl", "--log-file", "-vconsole:off"]
        with self._guests.inside():
            process = subprocess.Popen(command, env=self._environment(), stderr=subprocess.DEVNULL)
        self._stack.callback(_stop, process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _columns(port: PortSettings) -> list[str]:
    """A port's settings, in columns of the Port table (ovs-vswitchd.conf.db(5))."""
    vlan = port.vlan
    trunks = [f"trunks={','.join(map(str, sorted(vlan.members)))}"]
    if vlan.pvid is None:
        columns = ["vlan_mode=trunk", *trunks]
    elif vlan.pvid in vlan.tagged:
        columns = ["vlan_mode=native-tagged", f"tag={vlan.pvid}", *trunks]
    elif vlan.tagged:
        columns = ["vlan_mode=native-untagged", f"tag={vlan.pvid}", *trunks]
    else:
        columns = ["vlan_mode=access", f"tag={vlan.pvid}"]
    return columns
