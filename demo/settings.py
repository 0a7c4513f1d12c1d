"""The settings of the demo: those of the product, and an address that logs its visitor in once."""

from callcentersite.settings import *  # noqa: F403

ROOT_URLCONF = "demo.urls"
