"""The difference between two configurations: what a running switch has to do to come from one to the other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vswitch.control.config.schema import MetricsConfig, PortConfig, SwitchConfig


@dataclass(frozen=True)
class Difference:
    """Ports by name.

    attachment: ports whose attachment has other options.  settings: those that only take part in the switch
    otherwise.  lines: everything, one line a change, for people.  refused: what a running switch cannot change.
    """

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    attachment: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing changes."""
        return not self.lines


def compare(old: SwitchConfig, new: SwitchConfig) -> Difference:
    """What has to change for `old` to become `new`."""
    added = [name for name in new.ports if name not in old.ports]
    removed = [name for name in old.ports if name not in new.ports]
    both = [name for name in new.ports if name in old.ports]
    attachment = [n for n in both if _attachment(old.ports[n]) != _attachment(new.ports[n])]
    settings = [n for n in both if n not in attachment and old.ports[n].settings() != new.ports[n].settings()]
    lines = [f"- port {name} ({words(old.ports[name].dump())})" for name in removed]
    lines += [f"+ port {name} ({words(new.ports[name].dump())})" for name in added]
    for name in attachment + settings:
        lines += [f"~ port {name}: {change}" for change in _changes(old.ports[name].dump(), new.ports[name].dump())]
    lines += _switch(old, new)
    refused = []
    if old.name != new.name:
        refused.append(f"the name cannot change while the switch runs ({old.name} to {new.name}); stop and start it")
    if old.control_path != new.control_path:
        refused.append("the control socket cannot change while the switch runs; stop and start it")
    return Difference(added, removed, attachment, settings, lines, refused)


def _attachment(port: PortConfig) -> tuple[str, object]:
    return port.kind, port.options


def _switch(old: SwitchConfig, new: SwitchConfig) -> Iterator[str]:
    """Changes of the switch as a whole."""
    yield from (f"~ {change}" for change in _changes(_whole(old), _whole(new)))
    if old.page and new.page and old.page.token != new.page.token:
        yield "~ page.token is another"
    yield from _mirrors(old, new)
    known = {(entry.vlan, entry.mac): entry.port for entry in old.fdb.static}
    wanted = {(entry.vlan, entry.mac): entry.port for entry in new.fdb.static}
    for vlan, mac in known:
        if wanted.get((vlan, mac)) != known[vlan, mac]:
            yield f"- static {mac} vlan {vlan} on {known[vlan, mac]}"
    for vlan, mac in wanted:
        if wanted[vlan, mac] != known.get((vlan, mac)):
            yield f"+ static {mac} vlan {vlan} on {wanted[vlan, mac]}"


def _mirrors(old: SwitchConfig, new: SwitchConfig) -> Iterator[str]:
    for name, mirror in old.mirrors.items():
        if new.mirrors.get(name) != mirror:
            yield f"- mirror {name} ({words(mirror.dump())})"
    for name, mirror in new.mirrors.items():
        if old.mirrors.get(name) != mirror:
            yield f"+ mirror {name} ({words(mirror.dump())})"


def _whole(config: SwitchConfig) -> dict[str, Any]:
    """What is not of one port."""
    return {
        "ageing": config.ageing,
        "busy_poll": f"{config.busy_poll * 1e6:g}us",
        "vlan_filtering": config.vlan_aware,
        "fdb.limit": config.fdb.limit,
        **_metrics(config.metrics),
        **{f"sflow.{key}": value for key, value in (config.sflow.dump() if config.sflow else {}).items()},
        "page": str(config.page.listen) if config.page else None,
        "page.token_file": config.page.token_file if config.page else None,
        "page.hosts": list(config.page.hosts) or None if config.page else None,
    }


def _metrics(config: MetricsConfig | None) -> dict[str, Any]:
    """The exporter. Of passwords it is only said that one is another now."""
    if config is None:
        return {"metrics": None}
    tls, users = config.tls, config.basic_auth
    return {
        "metrics": str(config.listen),
        "metrics.tls": f"{tls.certificate}, {tls.key}" if tls else None,
        "metrics.basic_auth": [f"{user} ({_shape(text)})" for user, text in users.items()] or None,
        "metrics.insecure": config.insecure or None,
    }


def _shape(text: str) -> str:
    """Something that differs where hashes do, and tells nothing else."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _changes(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for key in [*old, *(key for key in new if key not in old)]:
        if old.get(key) != new.get(key):
            yield f"{key} {_value(old.get(key))} → {_value(new.get(key))}"


def words(options: dict[str, Any]) -> str:
    """Options on one line, for people."""
    return ", ".join(f"{key} {_value(value)}" for key, value in options.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_value, value))
    if isinstance(value, dict):
        return f"({words(value)})"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
