"""Pure functions that compute the metrics from facts, without Django. docs/metrics.md defines every number.

In these modules, an attempt is a finished attempt to deploy a commit, and a success is an attempt that succeeded.
"""

DEFINITION_VERSION = "2026.1"
