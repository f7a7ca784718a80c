"""`python configs/grafana/source [FOLDER]`: write the dashboards as JSON, to ../dashboards unless a folder is given."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fdb import fdb
from impairments import impairments
from overview import overview
from port import port

DASHBOARDS = (overview, port, fdb, impairments)


def main(arguments: list[str]) -> None:
    """One file for each."""
    folder = Path(arguments[0]) if arguments else Path(__file__).parents[1] / "dashboards"
    for make in DASHBOARDS:
        (folder / f"{make.__name__}.json").write_text(json.dumps(make(), indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
