"""The files of the page: what is not ours is as it was made, and nothing comes from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "vswitch" / "control" / "page" / "site"
VENDORED = [PAGE / "vendor", Path(__file__).parent / "vendor"]
OURS = sorted(path for path in PAGE.rglob("*") if path.is_file() and path.parent.name != "vendor")


def digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


@pytest.mark.parametrize("folder", VENDORED, ids=["page", "tests"])
def test_what_is_not_ours_is_as_the_manifest_has_it(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest) == {path.name for path in folder.iterdir()} - {"manifest.json"}
    for name, entry in manifest.items():
        octets = (folder / name).read_bytes()
        assert digest(octets) == entry["sha256"], name
        if replaced := entry.get("replaced"):
            before = octets.replace(replaced["by"].encode(), replaced["what"].encode())
            assert digest(before) == replaced["sha256_before"], f"{name} differs in more than what is said"
    packages = {entry["package"] for entry in manifest.values()}
    assert packages == {name.split(".")[0].replace("axe", "axe-core") for name in manifest if "LICENSE" in name}


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(PAGE)))
def test_a_file_of_ours_is_small_and_names_no_other_place(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    addresses = re.findall(r"(?:https?:|wss?:)?//[\w.]+", re.sub(r"(?m)^\s*(//|/?\*).*$", "", text))
    assert set(addresses) <= {"http://www.w3.org"}, "but for the name of SVG"
    assert "innerHTML" not in text
    assert "eval(" not in text


def test_every_import_leads_to_a_file() -> None:
    for path in PAGE.rglob("*.js"):
        for place in re.findall(r'(?:from|import)\s*"(\.[^"]+)"', path.read_text()):
            assert (path.parent / place).is_file(), f"{path.name} imports {place}"


def test_the_first_file_has_neither_scripts_nor_styles_in_it() -> None:
    text = (PAGE / "index.html").read_text()
    for place in re.findall(r'(?:src|href)="static/([^"]+)"', text):
        assert (PAGE / place).is_file(), place
    assert not re.search(r"\sstyle=|<style|\son\w+=|<script>", text)
