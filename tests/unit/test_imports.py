# SPDX-License-Identifier: Apache-2.0
"""Imports point one way between the packages, and no module waits for itself."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
MAY_IMPORT: dict[str, set[str]] = {
    "koma": set(),
    "pipeline": {"koma"},
    "switching": {"koma"},
    "market": {"koma", "pipeline", "switching"},
    "gateway": {"koma"},  # serves what the others publish: their files, not their code
}


def modules(root: Path, packages: set[str]) -> dict[str, Path]:
    """Name and file of every module of some packages."""
    found = {}
    for package in packages:
        for file in sorted((root / package).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(name: str, file: Path, known: set[str]) -> Iterator[str]:
    """Known modules that a module names in imports, inside functions too; what only types need is left out."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            targets = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names]
        else:
            continue
        yield from (target for target in targets if target in known)


def wrong_directions(root: Path) -> list[str]:
    files = modules(root, set(MAY_IMPORT))
    return [
        f"{name} imports {target}"
        for name, file in files.items()
        for target in imported(name, file, set(files))
        if (own := name.split(".")[0]) != (other := target.split(".")[0]) and other not in MAY_IMPORT[own]
    ]


def cycle(root: Path) -> list[str]:
    """Modules of one import cycle; empty if there is none."""
    files = modules(root, set(MAY_IMPORT))
    graph = {name: set(imported(name, file, set(files))) - {name} for name, file in files.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def test_imports_point_one_way_between_the_packages() -> None:
    assert wrong_directions(ROOT) == []


def test_no_module_is_imported_in_a_circle() -> None:
    assert cycle(ROOT) == []


def test_every_package_of_the_project_has_its_place_in_the_direction() -> None:
    packages = {file.parent.name for file in ROOT.glob("*/py.typed")}
    assert packages == set(MAY_IMPORT)


def plant(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    "line",
    [
        "import pipeline.stage",
        "from pipeline import stage",
        "from pipeline.stage import run",
        "def later():\n    import pipeline.stage\n",
    ],
)
def test_a_planted_import_against_the_direction_is_found(tmp_path: Path, line: str) -> None:
    plant(tmp_path, {"koma/words.py": line, "pipeline/__init__.py": "", "pipeline/stage.py": ""})
    assert wrong_directions(tmp_path) == [f"koma.words imports {'pipeline.stage' if 'stage' in line else 'pipeline'}"]


def test_a_planted_circle_is_found(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "koma/__init__.py": "",
            "koma/a.py": "from koma import b",
            "koma/b.py": "from . import c",
            "koma/c.py": "def later():\n    from .a import x\n",
            "koma/d.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import koma.d\n",
        },
    )
    assert set(cycle(tmp_path)) == {"koma.a", "koma.b", "koma.c"}
