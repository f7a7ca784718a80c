"""What a switch serves beside its control socket, where the configuration says so: metrics and the page."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

from vswitch.control.metrics.exporter import Exporter, ExporterError
from vswitch.control.page.access import Access
from vswitch.control.page.token import TokenError, read_token
from vswitch.worker import Worker

if TYPE_CHECKING:
    from vswitch.control.config.schema import MetricsConfig, PageConfig, SwitchConfig
    from vswitch.control.page.web import Page
    from vswitch.control.service import Service


class ServingError(Exception):
    """One of them cannot be served: one sentence."""


class Serving:
    """The metrics and the page of one switch."""

    def __init__(self, service: Service, page: PageConfig | None = None) -> None:
        """Nothing yet. page: what the configuration says of the page does not count beside it."""
        self._service = service
        self._own_page = page
        self.exporter: Exporter | None = None
        self._page: Page | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    async def become(self, config: SwitchConfig, *, again: bool = False) -> None:
        """Serve as the configuration says; where one of them cannot be, both stay as they were. Raises ServingError.

        again: read the files that it names again, although it says nothing new.
        """
        async with AsyncExitStack() as undo:
            page, access = await self._new_page(self._own_page or config.page, undo)
            exporter = await self._new_exporter(config.metrics, again=again)
            undo.pop_all()
        if self.exporter is not None and exporter is not self.exporter:
            await self.exporter.close()
        if self._page is not None and page is not self._page:
            self._retire(self._page)
        elif page is not None and access is not None:
            page.become(access)
        self.exporter, self._page = exporter, page

    async def close(self) -> None:
        """Serve nothing any more."""
        if self._page is not None:
            self._retire(self._page)
        await asyncio.gather(*self._retiring)
        if self.exporter is not None:
            await self.exporter.close()

    async def _new_exporter(self, wanted: MetricsConfig | None, *, again: bool) -> Exporter | None:
        """The one that serves, or another that is to take its place."""
        old = self.exporter
        same = (old.config if old else None) == wanted
        if wanted is None or (same and not (again and wanted.tls)):
            return old if same else None
        new = Exporter(self._service, wanted)
        try:
            await new.start(after=old)
        except ExporterError as error:
            raise ServingError(f"metrics: {error}") from error
        return new

    async def _new_page(self, wanted: PageConfig | None, undo: AsyncExitStack) -> tuple[Page | None, Access | None]:
        """The one that serves, or another that is to take its place, and the rules of either."""
        if wanted is None:
            return None, None
        access = await _access(wanted)
        page = self._page
        if page is None or page.address != wanted.listen:
            from vswitch.control.page.web import Page  # it serves the API: whoever has no page need not load it

            page = Page(self._service, access)
            undo.callback(self._retire, page)
            try:
                await page.listen(wanted.listen)
            except OSError as error:
                why = os.strerror(error.errno) if error.errno else error  # create_server() says the address again
                raise ServingError(f"page: cannot listen on {wanted.listen}: {why}") from error
        return page, access

    def _retire(self, page: Page) -> asyncio.Task[None]:
        task = page.retire()
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        return task


async def _access(page: PageConfig) -> Access:
    """The rules of a page. Raises ServingError where the file with its token is of no use."""
    token = page.token
    if page.token_file is not None:
        try:
            token = await Worker("vswitch-token").run(partial(read_token, page.token_file))
        except TokenError as error:
            raise ServingError(str(error)) from None
    return Access(page, token)
