# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from gateway.errors import KeyFormError
from gateway.trial_keys import make_trial_keys


def test_keys_that_are_there_are_never_replaced(tmp_path: Path) -> None:
    made = make_trial_keys(tmp_path, "r1")
    before = Path(made["key"]).read_bytes(), Path(made["cert_key"]).read_bytes()
    with pytest.raises(KeyFormError, match="there already"):
        make_trial_keys(tmp_path, "r1")
    assert (Path(made["key"]).read_bytes(), Path(made["cert_key"]).read_bytes()) == before
