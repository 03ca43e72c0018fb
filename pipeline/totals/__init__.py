# SPDX-License-Identifier: Apache-2.0
"""Totals of slots: by retailer, balancing group and area, at the generation end, and the balance of an area."""
