"""The exit status of a stage that failed, which the stage commands, etl_run and scripts/run_etl_pipeline.sh have in common.

docs/commands.md lists the exit statuses of every command.
"""

EXIT_STATUS_OF_STAGE = {"extract": 1, "transform": 2, "load": 3}
