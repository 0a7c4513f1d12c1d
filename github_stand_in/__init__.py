"""A local server that stands in for GitHub's API, over a generated service with a consistent history."""
