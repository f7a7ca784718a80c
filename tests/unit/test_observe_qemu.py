"""QEMU's command line as a witness: both ways of writing it, and whatever else stands in a command line."""

from __future__ import annotations

import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.observe import qemu

MAC = "52:54:00:a8:32:d7"
LIBVIRT = [
    "qemu-system-x86_64", "-name", "guest=web,debug-threads=on", "-S",
    "-netdev", '{"type":"tap","fd":"27","vhost":true,"vhostfd":"29","id":"hostnet0"}',
    "-device", f'{{"driver":"virtio-net-pci","netdev":"hostnet0","id":"net0","mac":"{MAC}","bus":"pci.1"}}',
    "-netdev", '{"type":"tap","fds":"30:31","vhost":true,"id":"hostnet1"}',
    "-device", '{"driver":"virtio-net-pci","mq":true,"netdev":"hostnet1","mac":"52:54:00:00:00:02"}',
]  # fmt: skip


def macs(line: str, fd: int, interface: str) -> list[str]:
    return qemu.read(shlex.split(line)).macs(fd, interface)


def test_as_libvirt_writes_it() -> None:
    machine = qemu.read(LIBVIRT)
    assert machine.name == "web"
    assert machine.macs(27, "vnet0") == [MAC]
    assert machine.macs(30, "vnet1") == machine.macs(31, "vnet1") == ["52:54:00:00:00:02"]
    assert machine.macs(29, "vnet0") == []


@pytest.mark.parametrize(
    ("line", "fd", "interface"),
    [
        (f"qemu -netdev tap,fd=27,id=n0 -device virtio-net-pci,netdev=n0,mac={MAC}", 27, "vnet0"),
        (f"qemu -device e1000,mac={MAC.upper()},netdev=n0 -netdev tap,fds=26:27,id=n0", 27, "vnet0"),
        (f"qemu --netdev type=tap,ifname=vnet0,id=n0 --device e1000,netdev=n0,mac={MAC}", 9, "vnet0"),
        (f"qemu -netdev tap,ifname=vnet%d,id=n0 -device e1000,netdev=n0,mac={MAC}", 9, "vnet12"),
        (f"qemu -netdev tap,script=no,id=n0 -device e1000,netdev=n0,mac={MAC}", 9, "tap0"),
        (f"qemu -netdev bridge,br=br0,id=n0 -device e1000,netdev=n0,mac={MAC}", 9, "tap3"),
        (f"qemu -netdev tap,id=a,,b,fd=27 -device e1000,netdev=a,,b,mac={MAC}", 27, "vnet0"),
        (f"qemu -nic tap,fd=27,mac={MAC},model=e1000", 27, "vnet0"),
    ],
)
def test_a_card_is_found_by_its_cable(line: str, fd: int, interface: str) -> None:
    assert macs(line, fd, interface) == [MAC]


@pytest.mark.parametrize(
    ("line", "fd", "interface"),
    [
        (f"qemu -netdev tap,fd=27,id=n0 -device virtio-net-pci,netdev=n0,mac={MAC}", 28, "tap0"),
        (f"qemu -netdev tap,fd=27,id=n0 -device virtio-net-pci,netdev=n1,mac={MAC}", 27, "vnet0"),
        (f"qemu -netdev user,id=n0 -device virtio-net-pci,netdev=n0,mac={MAC}", 27, "tap0"),
        (f"qemu -netdev tap,ifname=a.c,id=n0 -device e1000,netdev=n0,mac={MAC}", 9, "abc"),
        (f"qemu -nic tap,mac={MAC} -nic tap,mac=52:54:00:00:00:02", 9, "tap0"),
        ("qemu -netdev tap,fd=27,id=n0 -device virtio-net-pci,netdev=n0", 27, "vnet0"),
        ("qemu -netdev tap,fd=27,id=n0 -device e1000,netdev=n0,mac=\x1b[31m", 27, "vnet0"),
        ("qemu -netdev", 27, "vnet0"),
    ],
)
def test_what_cannot_be_told_is_not_said(line: str, fd: int, interface: str) -> None:
    assert macs(line, fd, interface) == []


@pytest.mark.parametrize(
    ("line", "name"),
    [("-name web", "web"), ("-name process=x,guest=a,,b", "a,b"), ("-name process=x", None), ("-m 1G", None)],
)
def test_the_guest_s_name(line: str, name: str | None) -> None:
    assert qemu.read(["qemu", *line.split()]).name == name


@pytest.mark.parametrize(
    "value", ["{", "{}", "[" * 100_000, '{"a":' * 100_000, '{"fd":' + "9" * 5000 + "}", '{"id":[1]}']
)
def test_json_that_is_none(value: str) -> None:
    for option in ("-netdev", "-device", "-nic", "-name"):
        assert qemu.read(["qemu", option, value]).cards == ()


words = st.text(st.characters(codec=None), max_size=30)
settings = st.dictionaries(
    st.sampled_from(["type", "id", "fd", "fds", "ifname", "netdev", "mac", "guest", "driver"]),
    st.one_of(
        words, st.integers(), st.booleans(), st.none(), st.lists(words, max_size=2), st.sampled_from(["tap", MAC])
    ),
)
values = st.one_of(
    words,
    settings.map(json.dumps),
    settings.map(lambda found: ",".join(f"{key}={value}" for key, value in found.items())),
    st.text(",=:%d{}0\udcff", max_size=30),
)


@given(st.lists(st.one_of(st.sampled_from(["-netdev", "-device", "-nic", "-name"]), values), max_size=12), words)
def test_garbage_is_survived(arguments: list[str], interface: str) -> None:
    machine = qemu.read(arguments)
    assert all(len(mac) == 17 for mac in machine.macs(27, interface))
