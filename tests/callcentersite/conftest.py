"""Send Celery messages to an in-memory broker, as the tests of the pipeline do."""

from tests.etl_tasks.conftest import sent_messages

__all__ = ["sent_messages"]
