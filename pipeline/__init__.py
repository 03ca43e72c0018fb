# SPDX-License-Identifier: Apache-2.0
"""Head-end registers in, 30-minute energy and delivery files out."""

import logging

# Beam says at import, on the root logger, that a cloud client is missing that nobody here wants.
logging.getLogger().addFilter(lambda record: "apitools not found" not in record.getMessage())
