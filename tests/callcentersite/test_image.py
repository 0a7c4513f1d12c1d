"""The content of the production image: .dockerignore names the folders, requirements.txt the packages."""

from django.apps import apps
from django.conf import settings

FOLDERS = {line[1:] for line in (settings.BASE_DIR / ".dockerignore").read_text().splitlines() if line.startswith("!")}


def test_it_has_every_app_of_the_product() -> None:
    ours = {config.name.partition(".")[0] for config in apps.get_app_configs() if config.path.startswith(str(settings.BASE_DIR / config.name))}
    assert {*ours, "manage.py", "locale", "requirements.txt", "docs/metrics.md", "docs/metrics.es.md"} == FOLDERS


def test_it_has_neither_the_stand_in_for_github_nor_its_library() -> None:
    assert not FOLDERS & {"demo", "github_stand_in", "tests"}
    assert "graphql-core" not in (settings.BASE_DIR / "requirements.txt").read_text()
