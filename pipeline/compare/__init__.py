# SPDX-License-Identifier: Apache-2.0
"""A shadow run's verdict: our W41110 beside the incumbent's, cell by cell, and why they differ."""

from pipeline.compare.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
