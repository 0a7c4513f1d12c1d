"""Read the list of one stream, page by page, from where the run stands.

Several readers run at once, each in a thread of its own. A reader must not use the database: Django's connections belong to
the thread of the run. What a reader needs from the stored facts is read before its thread starts, and given to it as a Reading.
"""
