"""The admin: what people configure in front, and behind it, read-only, what the pipeline has written. Django imports this package at start."""

from dashboard.admin import accounts, derived, facts, ledger, letters, schedule, services, sources

__all__ = ["accounts", "derived", "facts", "ledger", "letters", "schedule", "services", "sources"]
