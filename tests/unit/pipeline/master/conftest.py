# SPDX-License-Identifier: Apache-2.0
"""What the tests of the master share."""

from pathlib import Path

import pytest

from tests.unit.pipeline.master.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return an empty home to learn into."""
    return Desk(tmp_path)
