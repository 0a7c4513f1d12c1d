"""A local server that stands in for GitHub's API. It serves generated repositories whose records are consistent with each other."""
