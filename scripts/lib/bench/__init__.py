# SPDX-License-Identifier: Apache-2.0
"""The parts of scripts/bench: what is measured (a module a section), and how it is written down."""
