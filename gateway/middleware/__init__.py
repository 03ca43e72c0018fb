# SPDX-License-Identifier: Apache-2.0
"""What every request passes before a route sees it."""
