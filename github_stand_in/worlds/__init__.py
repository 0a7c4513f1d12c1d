"""Worlds: generated repositories. A world knows when each of its facts happened, so it can be shown as it was at any time."""
