"""The web process's entry point: gunicorn callcentersite.wsgi."""

import gc
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcentersite.settings")
application = get_wsgi_application()

# What exists now lives as long as the process. The garbage collector need not look at it again: every full collection would interrupt a
# request for some 80 ms. The views are imported first.
_ = get_resolver().url_patterns
gc.collect()
gc.freeze()
