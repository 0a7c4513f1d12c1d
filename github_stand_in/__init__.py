"""A local server that stands in for GitHub's API. It serves generated repositories with a consistent history."""
