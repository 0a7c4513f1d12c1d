"""Pure functions that compute the metrics from facts, without Django. docs/metrics.md defines every number."""

DEFINITION_VERSION = "2026.1"
