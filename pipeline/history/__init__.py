# SPDX-License-Identifier: Apache-2.0
"""The IntervalStore: what every cell was issued as, thirteen months of it, in Parquet on any file system.

A row is a state: what one retailer was told of one (point, slot) at one instant. The last state of a cell is its
current value; the ones before are its history. Rows lie by point, so that all of a point's months are a few reads.
"""
