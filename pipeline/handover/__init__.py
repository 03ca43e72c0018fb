# SPDX-License-Identifier: Apache-2.0
"""Hand-over files of the head-end: Arrow, Parquet, CSV and telegram containers in, columns of reads out."""

from pipeline.handover.batch import NO_DATA, NO_READ, REJECTED_CODES, Chunk, Decoded, ReadBatch, Rejected, empty_batch
from pipeline.handover.formats import EXTENSIONS, decode_chunk, decode_chunks, plan_chunks

__all__ = [
    "EXTENSIONS",
    "NO_DATA",
    "NO_READ",
    "REJECTED_CODES",
    "Chunk",
    "Decoded",
    "ReadBatch",
    "Rejected",
    "decode_chunk",
    "decode_chunks",
    "empty_batch",
    "plan_chunks",
]
