# SPDX-License-Identifier: Apache-2.0
"""ECHONET Lite telegrams of low-voltage meters (class 0x0288): in words for people, in kernels for millions."""

from pipeline.telegram.meter import explain

__all__ = ["explain"]
