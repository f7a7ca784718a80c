"""`vswitch mirror`: copies of what passes ports or VLANs, added to a running switch and removed."""

from __future__ import annotations

from typing import Annotated

import typer

from vswitch.cli.app import app, client

mirror_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=app.info.context_settings)
app.add_typer(mirror_app, name="mirror", help="Add and remove mirrors of a running switch.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The mirror's name.")]


@mirror_app.command("add")
def mirror_add(
    context: typer.Context,
    name: Name,
    to: Annotated[str, typer.Option(metavar="PORT", help="The port that the copies leave by, and nothing else.")],
    port: Annotated[list[str] | None, typer.Option(metavar="PORT", help="A port to watch; several times.")] = None,
    vlan: Annotated[list[str] | None, typer.Option(metavar="VID", help="A VLAN, or 20-29; several times.")] = None,
    direction: Annotated[str, typer.Option(help="What comes from the guests: in; what goes to them: out.")] = "both",
) -> None:
    """Copy what passes ports, VLANs, or those ports in those VLANs, to one port more.

    Example: vswitch mirror add watch --port web --port db --direction in --to span
    """
    watched = {key: value for key, value in (("ports", port), ("vlans", vlan)) if value}
    client(context).call("POST", "mirrors", {"name": name, **watched, "direction": direction, "to": to})


@mirror_app.command("del")
def mirror_del(context: typer.Context, name: Name) -> None:
    """Remove a mirror; its port is one like the others again.

    Example: vswitch mirror del watch
    """
    client(context).call("DELETE", f"mirrors/{name}")
