"""The web process's entry point: gunicorn callcentersite.wsgi."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcentersite.settings")
application = get_wsgi_application()
