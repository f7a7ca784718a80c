"""The C twin as C: what compilers say of it, random scripts under sanitizers, its memory, and the ABI that it keeps to.

VSWITCH_FUZZ_SECONDS: how long each fuzzer takes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FASTPATH = ROOT / "vswitch/fastpath"
HARNESS = ROOT / "tests/native/fuzz_flowtable.c"
SECONDS = int(os.environ.get("VSWITCH_FUZZ_SECONDS", "2"))
INCLUDE = Path(sysconfig.get_paths()["include"])

STRICT = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
FOR_ANY_PYTHON = {"_PyArg_ParseTuple_SizeT", "_Py_BuildValue_SizeT", "_Py_Dealloc", "_Py_NoneStruct"}
"""Names of the stable ABI that begin as private ones do, and are used: Misc/stable_abi.toml of CPython."""

needs_headers = pytest.mark.skipif(not (INCLUDE / "Python.h").exists(), reason=f"needs Python.h in {INCLUDE}")
with_each_compiler = pytest.mark.parametrize(
    "compiler", [pytest.param(name, marks=pytest.mark.program(name)) for name in ("gcc", "clang")]
)


# What a compiler says


@needs_headers
@with_each_compiler
@pytest.mark.parametrize("level", ["-O2", "-O3"])
def test_a_strict_compiler_has_nothing_to_say(compiler: str, level: str, tmp_path: Path) -> None:
    run(compiler, *STRICT, level, "-fPIC", "-isystem", INCLUDE, "-c", FASTPATH / "_flowcache.c", "-o", tmp_path / "o")


def test_the_package_holds_every_header_that_it_is_built_from() -> None:
    (extension,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    assert set(extension["sources"]) == {"vswitch/fastpath/_flowcache.c"}
    assert {ROOT / name for name in extension.get("depends", ())} == set(FASTPATH.glob("*.h"))


# Random scripts


@pytest.mark.program("gcc")
def test_random_scripts_do_what_a_list_of_flows_would(tmp_path: Path) -> None:
    fuzz = tmp_path / "fuzz"
    run("gcc", *STRICT, *SANITIZED, "-DOWN_MAIN", "-I", FASTPATH, HARNESS, "-o", fuzz)
    seed = int.from_bytes(os.urandom(4))
    said = run(fuzz, seed, SECONDS, timeout=SECONDS + 240)
    reached = dict(re.findall(r"(\w[\w ]*?) (\d+)(?:,|$)", said.split(":")[1].strip()))
    assert len(reached) == 9, said
    assert all(int(times) for times in reached.values()), said


@pytest.mark.program("clang")
def test_libfuzzer_finds_no_script_that_does_not(tmp_path: Path) -> None:
    fuzz = tmp_path / "fuzz"
    if not links_libfuzzer(tmp_path):
        pytest.skip("needs libFuzzer: libclang-rt-dev")
    run("clang", *STRICT, *SANITIZED, "-fsanitize=fuzzer", "-I", FASTPATH, HARNESS, "-o", fuzz)
    limits = (f"-max_total_time={SECONDS}", "-max_len=4096", "-timeout=60", "-print_final_stats=1")
    said = run(fuzz, *limits, f"-artifact_prefix={tmp_path}/", timeout=SECONDS + 240)
    assert int(re.findall(r"stat::number_of_executed_units: (\d+)", said)[0]) > 0


# The module under sanitizers


@pytest.fixture(scope="module")
def instrumented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, with a native module that ends the process at the first wrong access."""
    tree = tmp_path_factory.mktemp("instrumented")
    for name in ("vswitch", "tests", "perf"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    build(tree / "vswitch/fastpath", *SANITIZED)
    return tree


@needs_headers
@pytest.mark.program("gcc")
@pytest.mark.parametrize(
    "tests",
    [
        ("tests/unit/test_flowcache.py",),
        ("tests/unit/test_engine.py",),
        ("tests/property/test_flowcache_twins.py", "-k", "superframes or octet"),
    ],
    ids=lambda tests: Path(tests[0]).stem,
)
def test_the_tests_of_the_fast_path_access_nothing_wrong(instrumented: Path, tests: tuple[str, ...]) -> None:
    said = run_instrumented(instrumented, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert re.search(r"^[1-9]\d* passed", said, re.MULTILINE), said
    assert "skipped" not in said


@needs_headers
@pytest.mark.program("gcc")
def test_a_wrong_access_would_end_the_process(instrumented: Path, tmp_path: Path) -> None:
    where = "from vswitch.fastpath import _flowcache; print(_flowcache.__file__)"
    assert run_instrumented(instrumented, "-c", where).strip().startswith(str(instrumented))
    right = (FASTPATH / "_flowcache.c").read_text()
    wrong = right.replace("if (view->len >= PADDED)", "if (view->len >= 0)")
    assert wrong != right
    (tmp_path / "_flowcache.c").write_text(wrong)
    build(tmp_path, *SANITIZED, "-I", FASTPATH)
    short = (
        "from array import array; from _flowcache import FlowTable; "
        "FlowTable(array('Q', bytes(99 * 8)), bytearray(1 << 17), array('Q', (0,)), 1).match(bytes(22) + b'\\x81\\0')"
    )
    with pytest.raises(AssertionError, match="heap-buffer-overflow"):
        run_instrumented(tmp_path, "-c", short)


@needs_headers
@pytest.mark.program("gcc")
def test_no_way_through_the_module_loses_memory(instrumented: Path, tmp_path: Path) -> None:
    """As it is built for use: a sanitizer would keep what is freed."""
    tree = tmp_path / "tree"
    shutil.copytree(instrumented, tree, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    build(tree / "vswitch/fastpath", "-O2")
    rounds = 1000
    said = run(sys.executable, "-m", "tests.native.stress", rounds, cwd=tree, env={"PYTHONPATH": str(tree)})
    grown = json.loads(said)
    assert grown["references"] == 0
    assert grown["blocks"] < rounds // 2, "less than one block a round"
    assert grown["resident"] < 1 << 20


# The ABI


@needs_headers
@pytest.mark.program("gcc")
@pytest.mark.program("nm")
def test_a_wheel_serves_every_later_python(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "vswitch", tree / "vswitch", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    run(sys.executable, "-m", "pip", "wheel", "--no-input", "--disable-pip-version-check", "--no-deps", "-w", tmp_path,
        tree, timeout=200)  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    assert re.fullmatch(r"vswitch-[\d.]+-cp311-abi3-linux_\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        (module,) = (name for name in archive.namelist() if name.endswith(".so"))
        assert module == "vswitch/fastpath/_flowcache.abi3.so"
        built = Path(archive.extract(module, tmp_path))
    wanted = set(re.findall(r"U (_?Py\w+)", run("nm", "-D", "--undefined-only", built)))
    assert "PyModuleDef_Init" in wanted
    assert {name for name in wanted if name.startswith("_")} <= FOR_ANY_PYTHON
    assert re.findall(r" T (\w+)", run("nm", "-D", "--defined-only", built)) == ["PyInit__flowcache"]


# How


def run(*command: object, cwd: Path = ROOT, env: dict[str, str] | None = None, timeout: float = 120) -> str:
    """What a command says; it has to end well."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | (env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}\n{done.stdout[-6000:]}"
    return done.stdout


def build(folder: Path, *options: object) -> None:
    """The module, beside its source."""
    source = folder / "_flowcache.c"
    shared = ("-std=c11", "-fPIC", "-shared", "-isystem", INCLUDE)
    run("gcc", *shared, *options, source, "-o", source.with_suffix(".abi3.so"))


def links_libfuzzer(folder: Path) -> bool:
    """Whether clang has the library, which is a package of its own."""
    source = folder / "nothing.c"
    source.write_text("int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return !data && !size; }\n")
    command = ("clang", "-fsanitize=fuzzer,address,undefined", source, "-o", folder / "nothing")
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run_instrumented(tree: Path, *arguments: str) -> str:
    """What Python says, with the runtime of the sanitizers in before all, and each object in memory of its own."""
    env = {
        "LD_PRELOAD": run("gcc", "-print-file-name=libasan.so").strip(),
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1:abort_on_error=1",
        "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(tree),
        "VSWITCH_NATIVE": "require",
    }
    return run(sys.executable, *arguments, cwd=tree, env=env, timeout=240)
