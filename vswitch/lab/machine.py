"""What QEMU is given so that its machine is a guest of the lab."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.ports.base import qemu_word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vswitch.control.topology.models import MachineOptions


def command(name: str, machine: MachineOptions, cards: Iterable[list[str]]) -> list[str]:
    """The whole command. cards: the arguments of each network card; the first serial line is what QEMU says."""
    words = [machine.program, "-name", qemu_word(name), "-machine", f"accel={machine.accel}", "-m", str(machine.memory),
             "-smp", str(machine.cpus), "-nodefaults", "-no-user-config", "-display", "none",
             "-serial", "stdio"]  # fmt: skip
    for option in ("kernel", "initrd", "append"):
        if value := getattr(machine, option):
            words += [f"-{option}", value]
    if machine.image:
        snapshot = "off" if machine.persistent else "on"
        words += ["-drive", f"file={qemu_word(machine.image)},if=virtio,snapshot={snapshot}"]
    for card in cards:
        words += [*card[:-1], f"{card[-1]},{machine.card}" if machine.card else card[-1]]
    return [*words, *machine.arguments]
