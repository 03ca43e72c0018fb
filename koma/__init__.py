# SPDX-License-Identifier: Apache-2.0
"""The vocabulary every package shares: ids, slots, energy, clock, limits, errors, settings."""
