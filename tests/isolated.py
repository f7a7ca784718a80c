"""`python -m tests.isolated -- COMMAND`: a command in a network of its own, with a /run of its own, as root has them.

So an example may use the names that a reader would, however many tests run beside it.
"""

from __future__ import annotations

import os
import sys

from vswitch.lab import rootless

PREFIX = (sys.executable, "-m", "tests.isolated", "--")


def main(arguments: list[str]) -> None:
    """Move, and become the command."""
    rootless.unshare(rootless.CLONE_NEWNS | rootless.CLONE_NEWNET)
    rootless.mount("none", "/", None, rootless.MS_REC | rootless.MS_PRIVATE)
    rootless.mount("tmpfs", "/run", "tmpfs", rootless.MS_NOSUID | rootless.MS_NODEV, "mode=755")
    rootless._raise_loopback()
    os.execvp(arguments[0], arguments)


if __name__ == "__main__":
    main(sys.argv[2:])
