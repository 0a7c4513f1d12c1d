"""The definitions of the metrics as pure functions over facts, without Django. docs/metrics.md is the written definition."""

DEFINITION_VERSION = "2026.1"
