# SPDX-License-Identifier: Apache-2.0
"""The ledger of slots: what should have been there, what is not, why and since when, and how fast the rest was."""
