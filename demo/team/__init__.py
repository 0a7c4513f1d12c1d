"""The demo's team: six services of a call centre, with a year of work on GitHub and a week of log lines. All of it is generated."""
