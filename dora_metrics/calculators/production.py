"""What counts as production: docs/metrics.md, "Deployment". The default pattern is in service_settings.py."""

from dora_metrics.patterns import compiled

PRODUCTION = "production"  # the environment's name in metrics, reports and URLs, whatever the service's own environments are called


def is_production(environment: str | None, pattern: str) -> bool:
    """Return whether a deployment to this environment is a production deployment.

    `environment`: its name; None if the deployment names none, which counts as production. `pattern`: the service's setting.
    """
    return environment is None or compiled(pattern).search(environment) is not None
