# SPDX-License-Identifier: Apache-2.0
"""A release counts only as it was signed inside."""

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey

from gateway.errors import PullMismatchError, PullStateError
from gateway.pull import _check_release
from gateway.pull_state import State, read_state, sole_use, write_state
from gateway.releases import Signer

KEY = OKPKey.generate_key("Ed25519")
KNOWN: dict[str, Any] = {KEY.thumbprint(): KEY}
CONTENT = {"id": "a", "retailer_code": "10013", "rows": 5, "files": [{"url": "u", "sha256": "00"}]}


def release(key: Any = KEY, **more: object) -> dict[str, Any]:
    signed = Signer("https://a.example", key).sign(CONTENT)
    return {**CONTENT, "published_at": "whenever", "manifest": signed, **more}


def test_a_release_as_signed_counts_whenever_it_was_published() -> None:
    _check_release(release(), KNOWN)
    _check_release(release(published_at="later"), KNOWN)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"rows": 6},
        {"files": []},
        {"files": [{"url": "u", "sha256": "01"}]},
        {"added": 1},
        {"retailer_code": "../.."},
        {"manifest": ""},
        {"manifest": None},
        {"manifest": "a.b.c"},
    ],
)
def test_a_release_that_differs_from_its_signature_is_refused(spoilt: dict[str, object]) -> None:
    with pytest.raises(PullMismatchError):
        _check_release(release(**spoilt), KNOWN)


def test_a_release_signed_by_others_is_refused() -> None:
    stranger = OKPKey.generate_key("Ed25519")
    with pytest.raises(PullMismatchError, match="not seen before"):
        _check_release(release(stranger), KNOWN)
    with pytest.raises(PullMismatchError):
        _check_release(release(stranger), {stranger.thumbprint(): KEY})
    with pytest.raises(PullMismatchError):
        _check_release(release(stranger), {stranger.thumbprint(): ECKey.generate_key("P-256")})
    without = release()
    del without["manifest"]
    with pytest.raises(PullMismatchError):
        _check_release(without, KNOWN)


def test_a_state_is_read_as_it_was_written_and_by_its_owner_only(tmp_path: Path) -> None:
    state = State("r1", "cursor", ["key"], {"10013": ["a.zip"]})
    write_state(tmp_path, state)
    assert read_state(tmp_path, "r1") == state
    assert read_state(tmp_path / "none", "r1") == State("r1")
    with pytest.raises(PullStateError, match="belongs to r1"):
        read_state(tmp_path, "r2")
    for content in ("", "[]", '{"version":1}', json.dumps({"version": 1, "owner": "r1", "more": 1})):
        (tmp_path / "state.json").write_text(content)
        with pytest.raises(PullStateError):
            read_state(tmp_path, "r1")


def test_a_folder_serves_one_run_at_a_time(tmp_path: Path) -> None:
    with sole_use(tmp_path), pytest.raises(PullStateError, match="another run"), sole_use(tmp_path):
        pass
    with sole_use(tmp_path):
        pass
