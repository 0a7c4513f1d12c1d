"""Throw random faults at a whole installation, then check that nothing was lost and nothing was doubled: docs/reliability.md."""
