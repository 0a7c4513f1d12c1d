"""The environments that count as production (docs/metrics.md, "Deployment"). service_settings.py has the default pattern."""

from dora_metrics.patterns import is_found

PRODUCTION = "production"  # the name of production in metrics, reports and URLs, whatever names the service's own environments have


def is_production(environment: str | None, pattern: str) -> bool:
    """Return whether a deployment to this environment is a production deployment.

    `environment`: the name; None if the deployment names no environment, in which case it counts as production. `pattern`: the
    service's setting.
    """
    return environment is None or is_found(pattern, environment)
