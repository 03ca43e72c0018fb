# SPDX-License-Identifier: Apache-2.0
"""Keys and a certificate for trying the gateway out, made on one machine for both sides."""

import json
from datetime import UTC, datetime
from pathlib import Path

from joserfc.jwk import ECKey

from gateway import jose
from gateway.certificates import Pair, make_client_pair, write_private
from gateway.errors import KeyFormError


def make_trial_keys(folder: Path, name: str) -> dict[str, str]:
    """Write `key.json`, `jwks.json`, `cert.pem`, `cert-key.pem`; gives their paths and the key's thumbprint.

    Raises:
        KeyFormError: the folder holds a private key already.

    """
    folder.mkdir(parents=True, exist_ok=True)
    for there in (folder / "key.json", folder / "cert-key.pem"):
        if there.exists():
            raise KeyFormError(f"{there} is there already", hint="Name a new folder: keys are not replaced")
    key = ECKey.generate_key("P-256")
    private, public = folder / "key.json", folder / "jwks.json"
    write_private(private, json.dumps(key.as_dict(private=True)).encode())
    public.write_text(json.dumps({"keys": [jose.public_member(key)]}, indent=2) + "\n", encoding="utf-8")
    pair = Pair(folder / "cert.pem", folder / "cert-key.pem")
    make_client_pair(pair, name, datetime.now(UTC))
    return {
        "key": str(private),
        "jwks": str(public),
        "cert": str(pair.certificate),
        "cert_key": str(pair.key),
        "thumbprint": key.thumbprint(),
    }
