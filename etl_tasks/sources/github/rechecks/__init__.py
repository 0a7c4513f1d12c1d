"""What is asked of GitHub again after the lists are read, and why: one module for each reason.

These modules run in the thread of the run and may use the database. If a run is repeated, they leave out what it has staged.
"""
