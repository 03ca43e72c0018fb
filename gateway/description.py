# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI description, made from the code: `python -m gateway.description` writes `docs/openapi.json` anew."""

import json
from pathlib import Path

from gateway.policy import main_app

TARGET = Path(__file__).parent.parent / "docs" / "openapi.json"


def description() -> str:
    """Text of the description, as it stands in `docs/openapi.json`."""
    return json.dumps(main_app(None).openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(description(), encoding="utf-8")
