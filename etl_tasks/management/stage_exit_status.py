"""The exit statuses for a failed stage. The stage commands, etl_run and scripts/run_etl_pipeline.sh use the same ones.

docs/commands.md lists the exit statuses of every command.
"""

EXIT_STATUS_OF_STAGE = {"extract": 1, "transform": 2, "load": 3}
