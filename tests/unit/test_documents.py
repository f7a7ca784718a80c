"""The documents say all there is: every reason, every option."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from vswitch.control.schema import STAGE_OPTIONS, VlanOptions
from vswitch.core.fdb import Change
from vswitch.core.verdict import Reason
from vswitch.ports import ATTACHMENTS

DOCS = Path(__file__).parents[2] / "docs"


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
