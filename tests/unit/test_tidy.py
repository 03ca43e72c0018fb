# SPDX-License-Identifier: Apache-2.0
"""House rules that no other tool checks, over every file of the project."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from koma.settings import setting_fields

ROOT = Path(__file__).parent.parent.parent
LOCK = "requirements.lock"
SPDX = "# SPDX-License-Identifier: Apache-2.0"
MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
FILE_BYTES_MAX = 200_000

SKIPPED_FOLDERS = {"var", "build", "dist", "__pycache__", "node_modules"}
SOURCES = {".py", ".sh", ".toml"}
TEXTS = SOURCES | {
    ".md",
    ".yml",
    ".yaml",
    ".json",
    ".jsonl",
    ".conf",
    ".css",
    ".html",
    ".js",
    ".xsd",
    ".sql",
    ".service",
    "",
}
"""File name endings; the empty one is that of scripts."""

REGISTRIES = "|".join(
    ["pypi" + r"\.org", "python" + "hosted", "npm" + "js", "docker" + r"\.io", "gh" + r"cr\.io", "quay" + r"\.io"]
)
PRIVATE = "|".join([r"(?<![\w.])/" + "work/", r"\.\./" + "shared", r"(?<![\w.])/" + "root/", "INTERFACES" + r"\.md"])
PRIVATE_ALLOWED = {".ci/run"}
"""Continuous integration looks for real data beside the project."""

Rule = Callable[[str, str], Iterator[str]]


def project_files(root: Path = ROOT) -> list[Path]:
    """Every file that belongs to the project, not what tools leave behind."""
    return sorted(_walk(root, top=True))


def _walk(folder: Path, *, top: bool = False) -> Iterator[Path]:
    for each in folder.iterdir():
        if each.is_dir():
            hidden = each.name.startswith(".") and not (top and each.name == ".ci")
            if not hidden and each.name not in SKIPPED_FOLDERS and not each.name.endswith(".egg-info"):
                yield from _walk(each)
        elif each.is_file() and not (top and each.name == ".git"):
            yield each


def spdx(name: str, text: str) -> Iterator[str]:
    lines = text.splitlines() or [""]
    scripted = lines[0].startswith("#!")
    if (Path(name).suffix in SOURCES or scripted) and lines[scripted : scripted + 1] != [SPDX]:
        yield f"the first line is not {SPDX!r}"


def lengths(name: str, text: str) -> Iterator[str]:
    if not name.endswith(".py"):
        return
    if (count := len(text.splitlines())) > MODULE_LINES_MAX:
        yield f"{count} lines, more than {MODULE_LINES_MAX}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.name} has {lines} lines, more than {FUNCTION_LINES_MAX}"


def whitespace(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), 1):
        if "\t" in line or line.rstrip() != line:
            yield f"line {number} holds a tab or ends in a blank"
    if text and not text.endswith("\n"):
        yield "the last line has no end"
    if text.endswith("\n\n"):
        yield "ends in an empty line"


def hosts(name: str, text: str) -> Iterator[str]:
    yield from (f"names the registry {each}" for each in sorted(set(re.findall(REGISTRIES, text))))


def private_paths(name: str, text: str) -> Iterator[str]:
    if name not in PRIVATE_ALLOWED:
        yield from (f"names the private path {each}" for each in sorted(set(re.findall(PRIVATE, text))))


def links(name: str, text: str) -> Iterator[str]:
    """Links of a Markdown page to files that are not there; what stands in code is no link."""
    if not name.endswith(".md"):
        return
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", prose):
        if (
            "://" not in target
            and not target.startswith("mailto:")
            and not (ROOT / name).parent.joinpath(target).exists()
        ):
            yield f"links to {target}, which is not there"


RULES: tuple[Rule, ...] = (spdx, lengths, whitespace, hosts, private_paths, links)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(rule: Rule) -> None:
    complaints = [
        f"{name}: {complaint}"
        for file in project_files()
        if file.suffix in TEXTS and (name := file.relative_to(ROOT).as_posix()) != LOCK
        for complaint in rule(name, file.read_text(encoding="utf-8"))
    ]
    assert not complaints, "\n" + "\n".join(complaints)


def test_every_setting_decides_something() -> None:
    read = {
        node.attr
        for package in ("pipeline", "switching", "gateway", "market")
        for file in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }
    assert [each.name for each in setting_fields() if each.name not in read] == []


def test_modules_are_named_by_what_they_hold() -> None:
    vague = [
        each for each in project_files() if each.suffix == ".py" and each.stem in {"utils", "util", "helpers", "common"}
    ]
    assert vague == []


def test_no_file_is_large() -> None:
    large = [file.name for file in project_files() if file.stat().st_size > FILE_BYTES_MAX and file.name != LOCK]
    assert large == []


def test_the_changelog_s_newest_version_is_the_package_s() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    headings = re.findall(
        r"^## \[(.+?)\](?: - \d{4}-\d\d-\d\d)?$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    assert headings[0] == "Unreleased"
    assert headings[1] == version


def test_decisions_are_numbered_without_gaps_and_say_why() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04d}" for number in range(len(pages))]
    for page in pages:
        headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], page.name


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (spdx, "a.py", '"""No licence."""\n'),
        (spdx, "dev", "#!/bin/sh\nset -eu\n"),
        (lengths, "a.py", "x = 1\n" * (MODULE_LINES_MAX + 1)),
        (lengths, "a.py", "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX),
        (whitespace, "a.md", "a\tb\n"),
        (whitespace, "a.md", "a \n"),
        (whitespace, "a.md", "a\r\n"),
        (whitespace, "a.md", "a"),
        (hosts, "a.md", "see https://" + "pypi" + ".org/x\n"),
        (private_paths, "a.md", "see /" + "work/main\n"),
        (private_paths, "a.md", "see ../" + "shared/data\n"),
        (links, "docs/a.md", "see [b](nowhere.md)\n"),
    ],
)
def test_a_planted_fault_is_found(rule: Rule, name: str, text: str) -> None:
    assert len(list(rule(name, text))) == 1


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (spdx, "a.py", SPDX + "\n"),
        (spdx, "dev", "#!/bin/sh\n" + SPDX + "\n"),
        (lengths, "a.py", "def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1)),
        (private_paths, "a.py", 'path = home + "/var/' + 'work/x"\n'),
        (links, "docs/a.md", "`[b](nowhere.md)` [c](../pyproject.toml) [d](https://example.org/x)\n"),
    ],
)
def test_what_is_in_order_is_let_pass(rule: Rule, name: str, text: str) -> None:
    assert list(rule(name, text)) == []
