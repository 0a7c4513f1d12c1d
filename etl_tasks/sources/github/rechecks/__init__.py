"""The rechecks: what is requested from GitHub again after the lists have been read. There is a module for each reason.

These modules run in the thread of the run and may use the database. Another attempt of a run does not request again what the
run has staged.
"""
