# SPDX-License-Identifier: Apache-2.0
"""Head-end registers in, 30-minute energy and delivery files out."""
