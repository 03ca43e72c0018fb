# SPDX-License-Identifier: Apache-2.0
"""Logs of the gateway's processes: what went wrong and where in the code, never a value of a request."""

import traceback
from pathlib import Path

import structlog


def set_up_logs() -> None:
    """Write events as JSON lines on standard output. Tracebacks with the values of variables never stand in them."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ]
    )


def places_of(error: BaseException) -> list[str]:
    """Where an error came from: file and line of each frame, without its message, which may quote a request."""
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
