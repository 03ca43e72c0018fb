# SPDX-License-Identifier: Apache-2.0
"""The ledger as pages for people, in two languages: the control room's board and the month's report."""
