"""The environments to which a service was deployed."""

from collections import Counter

from dora_metrics.models import Attempt, Deployment, LogDeployment, Service


def deployments_by_environment(service: Service) -> Counter[str]:
    """Count the deployments and log lines of each environment, by its name.

    Only GitHub's deployments and log lines name an environment. If another source counts, every deployment is to production, and
    there is no name.
    """
    counting = Attempt.objects.filter(service=service).values_list("source", flat=True).first()
    source = counting if service.deployments_from == Service.DeploymentsFrom.AUTO else service.deployments_from
    model = LogDeployment if source == Service.DeploymentsFrom.LOGS else Deployment
    if source not in (None, Service.DeploymentsFrom.GITHUB, Service.DeploymentsFrom.LOGS):
        return Counter()
    # Counted in Python, because MySQL takes Staging and staging as equal.
    return Counter(name for name in model._default_manager.filter(service=service).order_by().values_list("environment", flat=True) if name)
