"""A Dockerfile, built and run with namespaces and chroot(1) where no container engine is: its steps as they are."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass
class Image:
    """What a stage has become: a root folder, and what a process in it is given."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    user: str = "root"
    folder: str = "/"
    calls: dict[str, list[str]] = field(default_factory=dict)
    """ENTRYPOINT, CMD and HEALTHCHECK."""

    def contained(self, arguments: Iterable[str], user: str = "", capabilities: Iterable[str] = ()) -> list[str]:
        """A command that runs `arguments` as an engine does with no network, these capabilities and /dev/net/tun.

        They are pid 1 over there, by default as the image's user; /sys and /proc/sys can only be read.
        """
        uid, gid, home = self._account(user or self.user)
        bounds = ",".join(["-all", *(f"+{capability.lower()}" for capability in capabilities)])
        inside = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--inh-caps=-all"]
        inside += ["--ambient-caps=-all", f"--bounding-set={bounds}", *arguments]
        system = shlex.quote(f"{self.root}/proc/sys")
        mounts = [
            f"mount -t sysfs -o ro sysfs {shlex.quote(f'{self.root}/sys')}",
            f"mount --bind {system} {system} && mount -o remount,bind,ro {system}",
            self.bind(Path("/dev/net/tun")),
        ]
        return self.chroot(inside, {**self.environment, "HOME": home}, mounts, "--net")

    def chroot(self, inside: list[str], environment: dict[str, str], mounts: list[str], *unshare: str) -> list[str]:
        """A command that runs `inside` over this root with mounts and pids of its own."""
        root = shlex.quote(str(self.root))
        settings = [f"{name}={value}" for name, value in environment.items()]
        start = shlex.join(["/usr/bin/env", "-i", f"--chdir={self.folder}", *settings, *inside])
        script = " && ".join([f"mount -t proc proc {root}/proc", *mounts, f"exec chroot {root} {start}"])
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", *unshare, "sh", "-c", script]

    def bind(self, path: Path) -> str:
        """A command that shows a file or folder of the machine in the image, at the same place."""
        there = Path(f"{self.root}{path}")
        there.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            there.mkdir(exist_ok=True)
        elif not there.exists():
            there.touch()
        return shlex.join(["mount", "--bind", str(path), str(there)])

    def _account(self, user: str) -> tuple[int, int, str]:
        for line in (self.root / "etc/passwd").read_text().splitlines():
            name, _, uid, gid, _, home, _ = line.split(":")
            if user in (name, uid):
                return int(uid), int(gid), home
        raise ValueError(f"the image has no user {user}")


class Builder:
    """Builds the stages of a Dockerfile; each FROM is a copy of `base`, a root folder with Debian and Python in it.

    `settings` and `shown` are what RUN steps get of the machine on top: environment variables, files and folders.
    """

    def __init__(self, context: Path, base: Path, work: Path, settings: dict[str, str], shown: list[Path]) -> None:
        self._context, self._base, self._work = context, base, work
        self._settings, self._shown = settings, shown
        self._stages: dict[str, Image] = {}

    def build(self) -> Image:
        """The last stage. Raises CalledProcessError where a step fails, ValueError on what is not known here."""
        for word, rest in instructions((self._context / "Dockerfile").read_text()):
            step = getattr(self, f"_{word.lower()}", None)
            if step is None:
                raise ValueError(f"{word} is not known")
            step(rest)
        return self._image

    def _from(self, rest: str) -> None:
        _, _, name = rest.partition(" AS ")
        root = self._work / (name or "final")
        subprocess.run(["cp", "-a", self._base, root], check=True)
        self._image = self._stages[name] = Image(root)

    def _run(self, rest: str) -> None:
        image = self._image
        environment = {"HOME": "/root", **self._settings, **image.environment}
        mounts = [image.bind(path) for path in self._shown]
        subprocess.run(image.chroot(["sh", "-c", rest], environment, mounts), check=True)

    def _copy(self, rest: str) -> None:
        stage = re.match(r"--from=(\S+)\s+", rest)
        *sources, target = rest[stage.end() if stage else 0 :].split()
        source_root = self._stages[stage[1]].root if stage else self._let_through()
        into = target.endswith("/") or len(sources) > 1
        there = self._image.root / Path(self._image.folder, target).relative_to("/")
        (there if into else there.parent).mkdir(parents=True, exist_ok=True)
        for source in sources:
            path = source_root / source.lstrip("/")
            subprocess.run(["cp", "-a", "-T", path, there / path.name if into else there], check=True)

    def _let_through(self) -> Path:
        """The part of the context that .dockerignore lets through, its owner root."""
        through = self._work / "context"
        if not through.exists():
            lines = (self._context / ".dockerignore").read_text().splitlines()
            through.mkdir()
            paths = [line[1:] for line in lines if line.startswith("!")]
            without = [f"--exclude={line.removeprefix('**/')}" for line in lines if line.startswith("**/")]
            pack = ["tar", "-C", str(self._context), "--owner=0", "--group=0", *without, "-cf", "-", *paths]
            packed = subprocess.run(pack, check=True, capture_output=True).stdout
            subprocess.run(["tar", "-C", through, "-xf", "-"], input=packed, check=True)
        return through

    def _workdir(self, rest: str) -> None:
        self._image.folder = rest
        (self._image.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _env(self, rest: str) -> None:
        for word in shlex.split(rest):
            name, _, value = word.partition("=")
            self._image.environment[name] = value

    def _user(self, rest: str) -> None:
        self._image.user = rest

    def _entrypoint(self, rest: str) -> None:
        self._image.calls["ENTRYPOINT"] = json.loads(rest)

    def _cmd(self, rest: str) -> None:
        self._image.calls["CMD"] = json.loads(rest)

    def _healthcheck(self, rest: str) -> None:
        self._image.calls["HEALTHCHECK"] = json.loads(rest[rest.index("CMD ") + 4 :])

    def _label(self, rest: str) -> None:
        """Says something of the image, and changes nothing in it."""

    _expose = _volume = _label


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile in order, each with its arguments as one line."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", lines).splitlines()
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined) if word]
