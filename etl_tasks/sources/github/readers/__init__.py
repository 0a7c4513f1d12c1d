"""The readers. Each reads the list of one stream, page by page, and begins where the last attempt of the run stopped.

Several readers run at once, each in its own thread. A reader must not use the database, because Django's connections belong to
the thread of the run. What a reader needs from the stored facts is read before its thread starts, and passed to it as a Reading.
"""
