# SPDX-License-Identifier: Apache-2.0
"""The dated master: points, installations and supply, each fact with the time it holds and the time it was learned."""

from pipeline.master.store import open_master
from pipeline.master.view import MasterView

__all__ = ["MasterView", "open_master"]
