"""Generated repositories: what happened in them, and when."""
