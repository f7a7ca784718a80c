"""The pytest plugin: fixtures `lab`, `switch` and `expect`, and a failure that explains itself.

Every run of pytest imports this module, so that it imports nothing else before a fixture is asked for.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from vswitch.lab import Lab
    from vswitch.testing.expecting import Expect
    from vswitch.testing.stepped import SteppedSwitch

_ROOTLESS = "lab_rootless"
_SHOWN = pytest.StashKey[list["Callable[[], Iterable[tuple[str, str]]]"]]()
"""Of a test: what its report shows if it fails."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Labs for those who are not root."""
    words = "run pytest in a user namespace of its own, where an ordinary user may have labs, and no other network"
    parser.getgroup("vswitch").addoption("--lab-rootless", action="store_true", dest=_ROOTLESS, help=words)
    parser.addini(_ROOTLESS, words, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Markers; and the user namespace, before there are other threads or processes."""
    config.addinivalue_line("markers", "lab(topology): the lab of the fixture `lab`: a file, YAML or a mapping")
    config.addinivalue_line("markers", "switch(config): the switch of the fixture `switch`: YAML or a mapping")
    if config.getoption(_ROOTLESS) or config.getini(_ROOTLESS):
        from vswitch.lab import rootless

        try:
            if rootless.needed():
                rootless.enter()
        except rootless.RootlessError as error:
            raise pytest.UsageError(f"--lab-rootless: {error}") from error


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab that is up, as `@pytest.mark.lab(…)` says, or empty for the test to `add` to. It is down after the test."""
    _require_powers()
    from vswitch.control.config.reading import ConfigError
    from vswitch.testing import making, report

    mark = request.node.get_closest_marker("lab")
    making.sweep()
    try:
        made = making.make(mark.args[0] if mark and mark.args else None, [request.path.parent, request.config.rootpath])
    except ConfigError as error:
        pytest.fail(f"the lab of this test is wrong:\n{error}", pytrace=False)
    if "expect" in request.fixturenames:
        expectations: Expect = request.getfixturevalue("expect")
        expectations.named = made.guest
        made.changed.append(lambda: expectations.watch(made.session))
    with _speaking(), made:
        _show(request, lambda: report.of_lab(made))
        yield made


@pytest.fixture
def switch(request: pytest.FixtureRequest) -> Iterator[SteppedSwitch]:
    """A switch with ports in memory, whose time is the test's: a, b and c, or as `@pytest.mark.switch(…)` says."""
    from vswitch.control.config.reading import ConfigError
    from vswitch.testing import report
    from vswitch.testing.stepped import SteppedSwitch

    mark = request.node.get_closest_marker("switch")
    try:
        made = SteppedSwitch(mark.args[0] if mark and mark.args else None)
    except ConfigError as error:
        pytest.fail(f"the switch of this test is wrong:\n{error}", pytrace=False)
    if "expect" in request.fixturenames:
        request.getfixturevalue("expect").named = made.port
    with _speaking():
        _show(request, lambda: report.of_switch(made, f"switch at {made.now:g} s"))
        yield made
        made.close()


@pytest.fixture
def expect() -> Iterator[Expect]:
    """Expectations at ports and guests: `expect(port, pattern)`, `expect.none(port, pattern)`."""
    from vswitch.testing.expecting import Expect

    made = Expect()
    yield made
    made.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what its switches know."""
    report = yield
    if report.failed and report.when == "call":
        for sections in item.stash.get(_SHOWN, []):
            try:
                report.sections += [(f"vswitch, {title}", text) for title, text in sections()]
            except Exception as error:  # the failure itself is to be seen in any case
                report.sections.append(("vswitch", f"nothing can be shown: {error!r}"))
    return report


def _show(request: pytest.FixtureRequest, sections: Callable[[], Iterable[tuple[str, str]]]) -> None:
    stash: Any = request.node.stash
    stash.setdefault(_SHOWN, []).append(sections)


def _require_powers() -> None:
    """Skip, in one sentence, where a lab cannot be."""
    from vswitch.lab import rootless

    if rootless.needed():
        pytest.skip("a lab needs root: run pytest as root, or with --lab-rootless where user namespaces are allowed")
    try:
        os.close(os.open(rootless.TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        pytest.skip(f"a lab needs {rootless.TUN}, which cannot be opened: {error.strerror}")


@contextmanager
def _speaking() -> Iterator[None]:
    """What switches say is in the report, as any log is, from INFO on."""
    import logging

    logger = logging.getLogger("vswitch")
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
