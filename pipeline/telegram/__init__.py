# SPDX-License-Identifier: Apache-2.0
"""ECHONET Lite telegrams of low-voltage meters (class 0x0288)."""
