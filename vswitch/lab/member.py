"""One switch of a lab: as any other one, but that its process has more of them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from vswitch.control.api.table import application
from vswitch.control.runner import RunError, switch_place
from vswitch.control.server import ControlServer

if TYPE_CHECKING:
    from pathlib import Path

    from vswitch.control.service import Service


class RunningSwitch:
    """One switch of a lab: its service, and the API on a socket of its own, as any switch has it."""

    def __init__(self, service: Service) -> None:
        """Not started yet."""
        self.service = service
        self._server: ControlServer | None = None
        self._place = ExitStack()

    async def start(self) -> None:
        """Open its ports and answer. Raises PortError, ConflictError or RunError, with nothing left behind."""
        path: Path = self._place.enter_context(switch_place(self.service.config))
        try:
            await self.service.start()
            self._server = ControlServer(application(self.service))
            try:
                await self._server.listen(path)
            except OSError as error:
                raise RunError(f"cannot make the control socket {path}: {error.strerror or error}") from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Give everything back."""
        if self._server is not None:
            await self._server.close()
        await self.service.stop()
        self._place.close()
