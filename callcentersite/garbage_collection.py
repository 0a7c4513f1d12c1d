"""When Python looks for garbage: objects that refer to each other in a circle."""

import gc

# A collection starts when Python has created as many new container objects (lists, dictionaries, instances) as the first threshold says. A page
# of log lines creates thousands of short-lived ones: with Python's default of 700, collecting takes a sixth of a stage's time, and a tenth of
# a command's start.
THRESHOLDS = (20_000, 20, 50)


def collect_rarely() -> None:
    gc.set_threshold(*THRESHOLDS)
