# SPDX-License-Identifier: Apache-2.0
"""Estimates: what stands for a cell without a value in later products, by which method, from what.

Nothing of it is read by whatever issues 30-minute, daily or monthly files.
"""
