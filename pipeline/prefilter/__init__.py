# SPDX-License-Identifier: Apache-2.0
"""前処理: what an MDMS sorts out before anything is computed. Rules on rows, then the meter's installation."""

from pipeline.prefilter.route import Found, Routed, route
from pipeline.prefilter.rules import RULES, judge
from pipeline.rules.rows import Bounds

__all__ = ["RULES", "Bounds", "Found", "Routed", "judge", "route"]
