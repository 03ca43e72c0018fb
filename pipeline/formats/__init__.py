# SPDX-License-Identifier: Apache-2.0
"""Formats people already use: interval energy in and out of NEM12, Green Button, CSV and Parquet."""
