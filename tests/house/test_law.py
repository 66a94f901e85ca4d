"""The import law, the sizes and the words of the house."""

import ast
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "ipseity"
FILES = sorted(SOURCE.rglob("*.py"))
ROOMS = {"bases", "vision", "data", "methods", "training", "evaluation"}
MAY_IMPORT = {
    "core": {"core"},
    **{room: {"core", room} for room in ROOMS},
    "recipe": {"core", *ROOMS},
    "flows": {"flows", "recipe", "core", *ROOMS},
    "api": {"flows", "recipe", "core", *ROOMS},
    "surfaces": {"surfaces", "api", "__version__"},
    "__init__": {"api"},
}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> list[tuple[int, str]]:
    """Every import of ours in a file, lazy ones too: (line, room)."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ipseity":
            parts = (node.module or "").split(".")
            rooms = [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
            found += [(node.lineno, room) for room in rooms]
        elif isinstance(node, ast.Import):
            found += [
                (node.lineno, alias.name.split(".")[1]) for alias in node.names if alias.name.startswith("ipseity.")
            ]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_data_flows_forward(path: Path) -> None:
    broken = [
        f"line {line}: {room_of(path)} imports {room}"
        for line, room in imported(path)
        if room not in MAY_IMPORT[room_of(path)]
    ]
    assert not broken, f"{path.name}: {broken}; allowed: {sorted(MAY_IMPORT[room_of(path)])}"


def modules_imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ipseity"):
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_no_import_circle_even_a_lazy_one() -> None:
    names = {
        path: ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in FILES
    }
    known = set(names.values())
    arrows = {names[path]: (modules_imported(path) & known) - {names[path]} for path in FILES}
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for target in sorted(arrows[name]):
                walk(target, (*trail, name))
            done.add(name)

    for name in sorted(arrows):
        walk(name, ())


def test_sizes() -> None:
    long_files = [f"{path.name}: {n} lines" for path in FILES if (n := len(path.read_text().splitlines())) > 450]
    assert not long_files
    functions = [
        (node.end_lineno - node.lineno + 1, f"{path.name}:{node.name}")
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    assert not [where for lines, where in functions if lines > 80]
    lengths = sorted(lines for lines, _ in functions)
    assert lengths[int(0.9 * len(lengths))] <= 40, (
        f"nine in ten functions should have at most 40 lines, not {lengths[int(0.9 * len(lengths))]}"
    )


def test_public_functions_are_documented_and_typed() -> None:
    bare = []
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            if (
                isinstance(node, (ast.FunctionDef, ast.ClassDef))
                and not node.name.startswith("_")
                and not ast.get_docstring(node)
            ):
                bare.append(f"{path.name}:{node.name} has no docstring")
            if isinstance(node, ast.FunctionDef) and node.returns is None:
                bare.append(f"{path.name}:{node.name} does not say what it returns")
    assert not bare


def test_no_two_files_share_more_than_25_lines() -> None:
    def lines(path: Path) -> set[str]:
        stripped = (line.strip() for line in path.read_text().splitlines())
        return {line for line in stripped if len(line) > 20 and not line.startswith(("from ", "import ", "#", '"""'))}

    kept = {path: lines(path) for path in FILES}
    shared = [
        (a.name, b.name, len(kept[a] & kept[b])) for a, b in combinations(FILES, 2) if len(kept[a] & kept[b]) > 25
    ]
    assert not shared


FORBIDDEN = r"\b(latent_images?|img|imgs|concept|helper|utils|misc|Manager|Handler|Helper|normal_prompt)\b"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_one_word_means_one_thing(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    assert not [name for name in names if re.search(FORBIDDEN, name)]
    assert not re.search(r"(?i)(utils|helpers?|misc|common|base_)", path.stem)


def test_help_and_version_do_not_import_torch() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom ipseity.surfaces.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "assert CliRunner().invoke(app, ['personalize', '--help']).exit_code == 0\n"
        "assert 'torch' not in sys.modules, 'the command line imports too much'"
    )
    subprocess.run([sys.executable, "-W", "error::DeprecationWarning:ipseity", "-c", code], check=True, timeout=60)
