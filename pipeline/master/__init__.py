# SPDX-License-Identifier: Apache-2.0
"""The dated master: points, installations and supply, each fact with the time it holds and the time it was learned."""

from pipeline.master.importer import import_master
from pipeline.master.report import ImportReport
from pipeline.master.settle import settle
from pipeline.master.store import open_master
from pipeline.master.view import MasterView

__all__ = ["ImportReport", "MasterView", "import_master", "open_master", "settle"]
