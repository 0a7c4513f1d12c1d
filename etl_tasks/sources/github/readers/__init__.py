"""Read the list of one stream, page by page, from where the run stands.

Several readers run at once, each in a thread of its own. A reader must not use the database: Django's connections belong to
the thread of the run. What a reader needs of the stored facts is read before, and given to it in its Reading.
"""
