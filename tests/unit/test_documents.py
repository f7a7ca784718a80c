"""The documents say all there is: every reason, every option; and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from vswitch.control.api.table import ROUTES
from vswitch.control.config.schema import STAGE_OPTIONS, VlanOptions
from vswitch.core.fdb import Change
from vswitch.core.verdict import Reason
from vswitch.ports import ATTACHMENTS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def test_every_drop_reason_stands_in_the_rules_as_the_code_has_it() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", (DOCS / "rules.md").read_text(), re.MULTILINE))
    assert table == {reason.value: reason.meaning for reason in Reason}


def test_every_kind_of_event_stands_in_the_history() -> None:
    kinds = re.findall(r"^\| `(\w+)` \|", (DOCS / "history.md").read_text(), re.MULTILINE)
    assert kinds == list(get_args(Change))


def test_every_option_of_a_port_is_documented() -> None:
    text = (DOCS / "configuration.md").read_text()
    own = {name for port in ATTACHMENTS.values() for name in port.options_type.model_fields}
    documented = set(re.findall(r"^\| `(\w+)(?:: \w+)?` \|", text, re.MULTILINE))
    assert own | set(VlanOptions.model_fields) | set(STAGE_OPTIONS) <= documented


def test_every_call_of_the_api_is_documented_and_whether_it_takes_the_token() -> None:
    documented: dict[str, bool] = {}
    for row in re.findall(r"^\| (`[A-Z]+ /v1/.*) \|$", (DOCS / "api.md").read_text(), re.MULTILINE):
        calls, _, without_token = (cell.strip() for cell in row.split("|"))
        documented |= dict.fromkeys(re.findall(r"`(.*?)`", calls), without_token == "yes")
    assert documented == {f"{route.method} {route.path}": route.open for route in ROUTES}


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for place, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)", text):
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"there is no {place}"
        assert target.is_relative_to(ROOT), place
        assert not anchor or anchor in anchors(target), f"there is no heading {anchor} in {target.name}"
