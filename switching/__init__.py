# SPDX-License-Identifier: Apache-2.0
"""Supply-switch applications and the dated master they change."""
