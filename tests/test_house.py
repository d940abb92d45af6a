"""The rules of the house that no linter knows. Imports between rooms are import-linter's (pyproject.toml)."""

import ast
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULE_LINES = 350
TEST_MODULE_LINES = 500
FUNCTION_LINES = 60
README_LINES = 20

EXCUSED: dict[str, str] = {}
"""Modules or functions ("path" or "path::name") that may be longer, each with the reason."""

VERSION = re.compile(r"ocpp\d|(?<![\d.])(?:1\.6|2\.0|2\.0\.1|2\.1)(?![\d.])", re.IGNORECASE)
TIME_CALLS = {
    *(f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep")),
    *(f"{name}.{call}" for name in ("datetime", "date") for call in ("now", "utcnow", "today")),
}
LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
MACHINE_PATH = re.compile(r"(?<![\w.~$}/-])/(?:home|root|work|Users)(?=/|\b)(?!\w)")
PACKAGE_HOST = re.compile(
    r"registry\.(?:npmjs|yarnpkg)|pythonhosted|pypi\.org/simple|artifactory|jfrog|index-url[ =]|//[\w.-]*nexus",
    re.IGNORECASE,
)


def modules(*tops: str) -> list[Path]:
    """Python files below these folders, relative to the repository."""
    found = [path.relative_to(ROOT) for top in tops for path in sorted((ROOT / top).rglob("*.py"))]
    return [path for path in found if "node_modules" not in path.parts]


def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text("utf-8"), filename=str(path))


def within(path: Path, *places: str) -> bool:
    """Whether a module is one of these files or folders, given from the repository's root."""
    return any(path == Path(place) or Path(place) in path.parents for place in places)


def is_config(path: Path) -> bool:
    return path.parent == Path("gateway") and path.stem.split("_")[0] == "config"


def dotted(node: ast.expr) -> str:
    """The last two parts of an attribute chain: `datetime.datetime.now` is "datetime.now"."""
    if not isinstance(node, ast.Attribute):
        return node.id if isinstance(node, ast.Name) else ""
    return f"{dotted(node.value).rpartition('.')[2]}.{node.attr}"


def texts(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """String constants that are no docstrings, each with its line."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value, node.lineno


def names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name that is read, set, passed or imported, with its line."""
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                yield name, getattr(node, "lineno", 0)


# What makes modules readable.


def test_modules_and_functions_stay_short() -> None:
    too_long = []
    for path in modules("gateway", "drivers", "bench", "tests"):
        tree, lines = parsed(path), len((ROOT / path).read_text("utf-8").splitlines())
        limit = TEST_MODULE_LINES if within(path, "tests") else MODULE_LINES
        if lines > limit and str(path) not in EXCUSED:
            too_long.append(f"{path}: {lines} lines, {limit} are allowed")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES and f"{path}::{node.name}" not in EXCUSED:
                    too_long.append(f"{path}:{node.lineno} {node.name}: {length} lines, {FUNCTION_LINES} are allowed")
    assert not too_long, "\n".join(too_long)


def test_excuses_are_still_needed() -> None:
    assert len(EXCUSED) <= 3
    for place in EXCUSED:
        assert (ROOT / place.partition("::")[0]).exists()


def test_every_room_says_what_it_is() -> None:
    rooms = [ROOT / "gateway", ROOT / "drivers", *(init.parent for init in (ROOT / "gateway").glob("*/__init__.py"))]
    assert len(rooms) > 10
    bad = []
    for room in rooms:
        readme = room / "README.md"
        if not readme.exists():
            bad.append(f"{room.name} has no README.md")
        elif len(readme.read_text("utf-8").splitlines()) > README_LINES:
            bad.append(f"{room.name}/README.md is longer than {README_LINES} lines")
    assert not bad, "\n".join(bad)


# What only some modules may know.


def test_versions_are_named_in_dialects_demo_and_configuration_only() -> None:
    found = [
        f"{path}:{line} {text!r}"
        for path in modules("gateway", "drivers")
        if not within(path, "gateway/dialects", "gateway/demo") and not is_config(path)
        for text, line in texts(parsed(path))
        if VERSION.search(text)
    ]
    assert not found, "\n".join(found)


def test_the_topology_is_known_to_app_and_configuration_only() -> None:
    """The tables of the dialects have a column for each, and `app` picks."""
    found = [
        f"{path}:{line} {name}"
        for path in modules("gateway")
        if not within(path, "gateway/app.py", "gateway/dialects") and not is_config(path)
        for tree in [parsed(path)]
        for name, line in [*names(tree), *texts(tree)]
        if "topology" in name.casefold() or name in ("per-station", "aggregate")
    ]
    assert not found, "\n".join(found)


def test_only_the_clock_asks_for_the_time() -> None:
    """The peers of `demo` import no other room: their one clock is in history.py."""
    found = [
        f"{path}:{node.lineno} {ast.unparse(node)}"
        for path in modules("gateway", "drivers")
        if not within(path, "gateway/clock.py", "gateway/demo/history.py")
        for node in ast.walk(parsed(path))
        if (isinstance(node, ast.Attribute) and dotted(node) in TIME_CALLS)
        or (isinstance(node, ast.ImportFrom) and node.module == "time")
    ]
    assert not found, "\n".join(found)


def test_drivers_are_given_their_sleep() -> None:
    """It is in their Seams, as are their clocks."""
    found = [call for call in _sleeps(modules("drivers")) if "seams.sleep(" not in call]
    assert not found, "\n".join(found)


def test_no_test_sleeps() -> None:
    """But on virtual time, where a sleep takes none; and in the storm, which kills at random moments of real time."""
    paths = [path for path in modules("tests") if not within(path, "tests/sim", "tests/transcript.py", "tests/storm")]
    found = list(_sleeps(paths))
    assert not found, "\n".join(found)


def _sleeps(paths: Iterable[Path]) -> Iterator[str]:
    """Calls of a sleep; where the simulation's loop is known, only those in tests that pytest runs itself."""
    for path in paths:
        tree = parsed(path)
        for place in _real_time_tests(tree) if _knows_virtual_time(tree) else [tree]:
            for node in ast.walk(place):
                if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] == "sleep":
                    yield f"{path}:{node.lineno} {ast.unparse(node)}"


def _knows_virtual_time(tree: ast.Module) -> bool:
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    on_virtual_time = ("tests.sim", "tests.uplink.link_world", "tests.transcript", "tests.store.test_writer")
    return any(f"{node.module}.{one.name}".startswith(on_virtual_time) for node in imports for one in node.names)


def _real_time_tests(tree: ast.Module) -> Iterator[ast.AST]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test"))


def test_log_calls_leave_formatting_to_the_log() -> None:
    found = [
        f"{path}:{node.lineno} {ast.unparse(node)[:80]}"
        for path in modules("gateway", "drivers")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in LOG_METHODS
        and dotted(node.func.value).rpartition(".")[2] in ("log", "logger", "logging", "_log")
        and any(isinstance(arg, ast.JoinedStr | ast.BinOp) for arg in node.args[:2])
    ]
    assert not found, "\n".join(found)


# What leaves the house.


def test_the_wheel_holds_the_two_packages_and_nothing_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    for path in modules("gateway", "drivers"):
        assert path.as_posix() in held
    migrations = {path.relative_to(ROOT).as_posix() for path in (ROOT / "gateway/store/migrations").glob("*.sql")}
    assert migrations
    assert migrations <= held
    models = {path.relative_to(ROOT).as_posix() for path in (ROOT / "drivers/models").glob("*.toml")}
    assert models
    assert models <= held
    kinds = (".py", ".sql", "README.md", ".toml", ".html", ".js", ".css", "py.typed")
    strangers = [name for name in held if not name.startswith(("gateway/", "drivers/")) or not name.endswith(kinds)]
    assert not strangers


def test_nothing_names_a_machine_or_a_package_host() -> None:
    found = [
        f"{path}:{number} {line.strip()[:100]}"
        for path in _files()
        for number, line in enumerate((ROOT / path).read_text("utf-8", errors="replace").splitlines(), 1)
        if MACHINE_PATH.search(line) or (PACKAGE_HOST.search(line) and path.name != "test_house.py")
    ]
    assert not found, "\n".join(found)


def _files() -> list[Path]:
    """What git tracks or would track."""
    if not (ROOT / ".git").exists():
        pytest.skip("NOT CHECKED: this is no git repository")
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]
    assert len(files) > 50
    return files


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        ("see /" + "home/somebody/x", True),
        ('"/' + 'root"', True),
        ("open('/" + "work/main')", True),
        ("python/" + "home", False),
        ("/" + "homework", False),
        ("{prefix}/" + "root/x", False),
    ],
)
def test_machine_paths_are_recognised(text: str, is_named: bool) -> None:
    assert bool(MACHINE_PATH.search(text)) is is_named


def test_the_commands_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", (ROOT / "README.md").read_text("utf-8")))
    assert {"demo", "test"} <= named, "README.md names `make demo` and `make test`"
    assert named <= targets
