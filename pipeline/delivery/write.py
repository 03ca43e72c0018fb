# SPDX-License-Identifier: Apache-2.0
"""Writing one delivery file: the zip and the Parquet beside it."""

from pathlib import Path

from pipeline.delivery.file import DeliveryFile, ManifestEntry


def write_delivery(file: DeliveryFile, directory: Path, *, xml: bool = True) -> ManifestEntry:
    """Write `<directory>/<retailer>/<YYYYMMDD>/<name>.zip` and `.parquet`; without fsync.

    `xml=False` writes the Parquet alone; the entry's file, bytes and sha256 are then empty.
    Raises DeliveryError where the rows cannot be delivered as they are.
    """
    raise NotImplementedError(file.retailer_code, directory, xml)
