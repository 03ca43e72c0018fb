# SPDX-License-Identifier: Apache-2.0
"""Every way a register can lie, a rule a file; `table` lists them, docs/reference/rules.md shows them."""
