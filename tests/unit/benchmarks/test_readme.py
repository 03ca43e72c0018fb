# SPDX-License-Identifier: Apache-2.0
"""The numbers of the READMEs are those of the results."""

import pytest

from benchmarks import readme


@pytest.mark.parametrize("name", ["README.md", "README.ja.md"])
def test_what_a_readme_says_was_measured(name: str) -> None:
    """`./dev docs` writes them anew."""
    assert readme.texts()[name] in (readme.ROOT / name).read_text(encoding="utf-8")
