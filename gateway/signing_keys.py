# SPDX-License-Identifier: Apache-2.0
"""The gateway's own signing keys: those of tokens in the DMZ, those of release manifests inside.

A file holds private JWKs, the signing one first. Token keys are two from the start, so that the next one is known to
everybody long before it signs.
"""

import json
from pathlib import Path

from joserfc.jwk import ECKey, OKPKey

from gateway import jose
from gateway.certificates import write_private
from gateway.errors import KeyFormError


def prepare_token_keys(path: Path) -> None:
    """Make two ES256 keys where there are none."""
    if not path.exists():
        _store(path, tuple(ECKey.generate_key("P-256") for _ in range(2)))


def prepare_release_keys(path: Path) -> None:
    """Make one Ed25519 key where there is none; its signatures are deterministic."""
    if not path.exists():
        _store(path, (OKPKey.generate_key("Ed25519"),))


def read_keys(path: Path) -> tuple[jose.Key, ...]:
    """Private keys of a file.

    Raises:
        KeyFormError: unreadable, or no key in it.

    """
    try:
        members = json.loads(path.read_bytes())["keys"]
        keys = tuple(jose.private_key(member) for member in members)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise KeyFormError(f"{path} holds no signing keys: {error}") from error
    if not keys:
        raise KeyFormError(f"{path} holds no signing key")
    return keys


def _store(path: Path, keys: tuple[jose.Key, ...]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, json.dumps({"keys": [key.as_dict(private=True) for key in keys]}).encode())
