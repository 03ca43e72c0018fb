# SPDX-License-Identifier: Apache-2.0
"""The dated master: points, installations and supply, each fact with the time it holds and the time it was learned."""
