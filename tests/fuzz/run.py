"""Fuzz one target with atheris: `python -m tests.fuzz.run frames -max_total_time=3600`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from pathlib import Path

TARGETS = ("raw_frame", "frames", "header", "headers", "twins", "yaml_text", "json_text", "json_data", "quantities")


def main(arguments: list[str]) -> int:
    """Fuzz until something is found or libFuzzer's options say stop; what fails is written to a file that it names."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.run",
        description="Fuzz one target with atheris. Exit status 0: nothing was found.",
        epilog="Everything else goes to libFuzzer: -runs=N, -max_total_time=SECONDS, -seed=N, "
        "-artifact_prefix=FOLDER/, a folder to keep the corpus in (without one it is lost), or files with inputs to "
        "try again. -help=1 lists all of it.",
        allow_abbrev=False,
    )
    parser.add_argument("target", choices=TARGETS, help=", ".join(TARGETS), metavar="TARGET")
    asked, options = parser.parse_known_args(arguments)
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is missing: pip install 'vswitch[fuzz]'")
    with tempfile.TemporaryDirectory(prefix="vswitch-fuzz-") as folder:
        child = os.fork()  # libFuzzer ends its process without a word to Python, and the folder has to go
        if not child:
            fuzz(asked.target, options, Path(folder))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fuzz(target: str, options: list[str], folder: Path) -> None:
    """Run libFuzzer with these options, with the target's seeds in this folder. Never returns."""
    import atheris

    with atheris.instrument_imports(include=["vswitch", "yaml"]):
        from tests.fuzz import seeds, targets

    if not any(Path(option).is_file() for option in options):
        for number, seed in enumerate(seeds.seeds(target)):
            (folder / f"seed-{number}").write_bytes(seed)
        options = [*options, str(folder)]
    atheris.Setup(["vswitch-fuzz", *options], targets.TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
