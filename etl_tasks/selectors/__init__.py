"""The queries of `etl_status` and of the pages about operations."""

from etl_tasks.selectors.status import LONGEST_WAIT_FOR_AN_END, cursors_by_source, deployments_given_up, sources_with_runs

__all__ = ["LONGEST_WAIT_FOR_AN_END", "cursors_by_source", "deployments_given_up", "sources_with_runs"]
