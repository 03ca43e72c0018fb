# SPDX-License-Identifier: Apache-2.0
"""A simulated head-end: hand-over files, master and truth for any number of points and slots, from a seed."""

from pipeline.simulate.options import PLAIN, Faults, Options
from pipeline.simulate.run import Summary, describe, simulate, steps

__all__ = ["PLAIN", "Faults", "Options", "Summary", "describe", "simulate", "steps"]
