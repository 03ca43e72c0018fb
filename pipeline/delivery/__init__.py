# SPDX-License-Identifier: Apache-2.0
"""Standard delivery files: W41110 zips, the same rows as Parquet, and the lines of their manifest."""

from pipeline.delivery.daily import DailyFile, DailySlot, write_daily
from pipeline.delivery.file import NO_REF, DeliveryFile, ManifestEntry
from pipeline.delivery.manifest import SortKey, closed_line, closed_sort_key, manifest_line, sort_key
from pipeline.delivery.monthly import MonthlyFile, MonthRows, write_monthly
from pipeline.delivery.write import placed, write_delivery

__all__ = [
    "NO_REF",
    "DailyFile",
    "DailySlot",
    "DeliveryFile",
    "ManifestEntry",
    "MonthRows",
    "MonthlyFile",
    "SortKey",
    "closed_line",
    "closed_sort_key",
    "manifest_line",
    "placed",
    "sort_key",
    "write_daily",
    "write_delivery",
    "write_monthly",
]
