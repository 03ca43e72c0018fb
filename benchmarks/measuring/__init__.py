# SPDX-License-Identifier: Apache-2.0
"""What the measurements share: a generated area, the engines they run, the check of what came out."""
