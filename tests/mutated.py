# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin that breaks one module as it is imported, and runs the lines of one rule alone.

`MUTANT_MODULE` names the module, `MUTANT_SOURCE` the file with its broken text, `MUTANT_RULE` the rule. Lines keep
their numbers, so that kernels of the module that are not touched come from numba's cache.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

import pytest


class _Broken(importlib.machinery.SourceFileLoader):
    """Loads a module from another text, under its own name and file."""

    def get_code(self, fullname: str) -> CodeType:
        assert fullname == os.environ["MUTANT_MODULE"]
        text = Path(os.environ["MUTANT_SOURCE"]).read_bytes()
        return compile(text, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the module to break; all others are left to those who find them in earnest."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != os.environ.get("MUTANT_MODULE"):
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert found is not None
        assert found.origin is not None
        return importlib.util.spec_from_loader(fullname, _Broken(fullname, found.origin))


def pytest_configure() -> None:
    sys.meta_path.insert(0, _Finder())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    rule = os.environ.get("MUTANT_RULE", "")
    lines = {each: getattr(each, "callspec", None) for each in items}
    kept = [each for each, line in lines.items() if line is not None and line.params.get("code") == rule]
    config.hook.pytest_deselected(items=[each for each in items if each not in kept])
    items[:] = kept
