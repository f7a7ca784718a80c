"""Where switches are found, in a folder that anybody of the machine can make."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.running import unique
from vswitch.control.client import running
from vswitch.control.config import reading as config
from vswitch.control.place import runtime_directory
from vswitch.control.runner import RunError, switch_place
from vswitch.control.topology.layout import GuestConfig
from vswitch.control.topology.models import GuestOptions
from vswitch.lab.home import Home
from vswitch.lab.place import Place, PlaceError
from vswitch.ports.host import Host

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def of_another(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The runtime directory in /tmp of a user without XDG_RUNTIME_DIR, whose place somebody else took."""
    user = 1_000_000 + os.getpid()
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    folder = runtime_directory()
    assert folder.parent == Path("/tmp")
    folder.mkdir()
    yield folder
    folder.rmdir()


def test_nothing_is_made_in_a_folder_of_somebody_else(of_another: Path) -> None:
    """Who owns it could have a link in place of each file, and be the switch that is called."""
    name = unique("p")
    found = config.validate({"name": name, "ports": {}})
    with pytest.raises(RunError, match=f"cannot write to {of_another}: .* another user"), switch_place(found):
        pass
    with pytest.raises(PlaceError, match=f"cannot write to {of_another}/labs/{name}: .* another user"):
        Place(name).take()
    assert not list(of_another.iterdir())


def test_nor_is_anybody_called_there(of_another: Path) -> None:
    (of_another / "x.lock").touch()
    try:
        assert running() == []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vswitch.control.client.listens", lambda _: True)
            assert running() == []
    finally:
        (of_another / "x.lock").unlink()


def test_nor_in_one_that_a_link_leads_to(tmp_path: Path, of_another: Path) -> None:
    of_another.rmdir()
    of_another.symlink_to(tmp_path)
    try:
        with pytest.raises(RunError), switch_place(config.validate({"name": unique("p"), "ports": {}})):
            pass
        assert not list(tmp_path.iterdir())
    finally:
        of_another.unlink()
        of_another.mkdir()


def test_where_not_everybody_may_make_one_its_owner_may_be_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/run/vswitch` of a service that has a user of its own, or of an image."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1_000_000)
    folder = runtime_directory()
    assert folder.parent == tmp_path
    folder.mkdir()
    name = unique("p")
    with switch_place(config.validate({"name": name, "ports": {}})):
        (folder / f"{name}.sock").touch()
        monkeypatch.setattr("vswitch.control.client.listens", lambda _: True)
        assert running() == [folder / f"{name}.sock"]
        (folder / f"{name}.sock").unlink()


def test_of_a_long_log_the_end_is_read() -> None:
    """What a guest's commands say is theirs to say, and may be more than fits the memory."""
    place = Place(unique("p"))
    place.take()
    try:
        home = Home(GuestConfig("g", "n", GuestOptions.model_validate({}), ()), Host(), place)
        assert home._last_words() == "it said nothing"
        with place.log("g").open("wb") as log:
            log.truncate(64 << 20)
            log.seek(0, os.SEEK_END)
            log.write(b"\nthe last line\xff\n")
        tracemalloc.start()
        assert home._last_words() == "the last line\ufffd"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
        place.leave()
