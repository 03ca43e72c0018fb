# SPDX-License-Identifier: Apache-2.0
"""The market's neighbouring systems: pure functions on files."""
