"""What every test shares: programs that may be missing, and a run in which nothing may be skipped."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

NO_SKIP = os.environ.get("VSWITCH_NO_SKIP", "") not in ("", "0")
"""Set where everything that the tests need has been installed: a test that is skipped all the same has failed."""

AnyReport = TypeVar("AnyReport", pytest.TestReport, pytest.CollectReport)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip by name the tests whose outside program is missing: `@pytest.mark.program("qemu-system-x86_64")`."""
    missing = [name for mark in item.iter_markers("program") for name in mark.args if not shutil.which(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return without_skip((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return without_skip((yield))


def without_skip(report: AnyReport) -> AnyReport:
    """The report, with a skip turned into a failure where nothing may be skipped; an expected failure stays one."""
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}, where nothing may be skipped"
    return report
