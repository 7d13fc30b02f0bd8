"""Imports run one way: between the folders, between the rooms of `assets/`, and never in a circle."""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("schemas", "models", "judges", "assets", "pipelines")
ROOMS = (
    "display", "storage", "stages", "intake", "sampling", "judging", "pairing", "auditing", "releasing", "publishing",
    "report",
)  # fmt: skip
"""In the order of the flow, after what shows and what stores."""


MOST_LINES = 250
"""Of a source file; tests may be longer."""


def sources() -> list[Path]:
    """Every source file but the tests."""
    folders = [path for folder in (*FOLDERS, "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
    return [*folders, *sorted((ROOT / "pairwright").glob("*.py"))]


def modules() -> dict[str, Path]:
    """Dotted name → file, of everything but the command line."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[f"pairwright.{name}"] = path
    return found


def imported() -> dict[str, set[str]]:
    """Module → all that it imports, also for types alone and within functions."""
    found: dict[str, set[str]] = {}
    for module, path in modules().items():
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
            elif isinstance(node, ast.Import):
                names |= {one.name for one in node.names}
        found[module] = names
    return found


def imports() -> dict[str, set[str]]:
    """Module → the modules of ours that it imports."""
    files = modules()
    return {
        module: {name for name in names if name in files and name != module} for module, names in imported().items()
    }


def place(module: str, depth: int) -> str:
    parts = module.split(".")
    return parts[depth] if len(parts) > depth else ""


def test_folders_import_those_before_them() -> None:
    against = [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in others
        if FOLDERS.index(place(other, 1)) > FOLDERS.index(place(module, 1))
    ]
    assert not against


def test_rooms_import_those_before_them_in_the_flow() -> None:
    rooms = {path.name for path in (ROOT / "assets").iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(ROOMS), "every room has its place in the flow"
    against = [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in others
        if place(module, 2) in ROOMS
        and place(other, 2) in ROOMS
        and ROOMS.index(place(other, 2)) > ROOMS.index(place(module, 2))
    ]
    assert not against


def test_no_file_imports_itself_by_way_of_others() -> None:
    reached = imports()
    for through in reached:
        for module, others in reached.items():
            if through in others:
                reached[module] = others | reached[through]
    assert not [module for module, others in reached.items() if module in others]


def test_no_import_of_ours_is_for_type_checkers_alone() -> None:
    """It would hide a circle, or that a file shows what it never has; a library's type may stand there."""
    hidden = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                names = [one.module or "." for one in ast.walk(node) if isinstance(one, ast.ImportFrom)]
                names += [name.name for one in ast.walk(node) if isinstance(one, ast.Import) for name in one.names]
                hidden += [f"{path.name}: {name}" for name in names if name.split(".")[0] in {"pairwright", ""}]
    assert not hidden


def test_files_have_a_size_that_is_read_in_minutes() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    over = {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > MOST_LINES}
    assert not over, "split by meaning"


def test_dagster_is_known_to_the_pipelines_alone() -> None:
    knowing = {
        module
        for module, names in imported().items()
        if any(name.split(".")[0].startswith("dagster") for name in names) and place(module, 1) != "pipelines"
    }
    assert knowing == {"pairwright.schemas.options"}, "which has it check a schedule, where a recipe has one"


def test_every_package_is_in_the_wheel() -> None:
    """Nested packages are found by name only: one that is not listed is missing where Pairwright is installed."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    there = {module for module, path in modules().items() if path.name == "__init__.py"}
    assert there <= set(listed)
