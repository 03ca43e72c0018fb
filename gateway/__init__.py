# SPDX-License-Identifier: Apache-2.0
"""The DMZ: token service, edge, release guard, publisher. Owns no business rule."""
