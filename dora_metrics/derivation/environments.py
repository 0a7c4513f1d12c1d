"""The environments to which a service was deployed."""

from collections import Counter

from dora_metrics.models import Attempt, Deployment, LogDeployment, Service


def deployments_by_environment(service: Service) -> Counter[str]:
    """Count the deployments and log lines of each environment, by its name.

    Only GitHub's deployments and log lines name an environment. If another source counts, every deployment is to production, and
    there is no name.
    """
    source = stored_source(service) if service.deployments_from == Service.DeploymentsFrom.AUTO else service.deployments_from
    model = LogDeployment if source == Service.DeploymentsFrom.LOGS else Deployment
    if source not in (None, Service.DeploymentsFrom.GITHUB, Service.DeploymentsFrom.LOGS):
        return Counter()
    # Counted in Python, because MySQL takes Staging and staging as equal.
    return Counter(name for name in model._default_manager.filter(service=service).order_by().values_list("environment", flat=True) if name)


def stored_source(service: Service) -> str | None:
    """Return the source of deployments that counted when the service was last computed; None if it has no attempt. All attempts have the same."""
    attempts = Attempt.objects.filter(service=service).order_by()  # first() would order by the id: MySQL would read the rows of all services
    return next(iter(attempts.values_list("source", flat=True)[:1]), None)
