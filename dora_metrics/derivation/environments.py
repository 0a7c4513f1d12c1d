"""The environments to which a service was deployed."""

from collections import Counter

from django.db.models import CharField, Count, Func

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
    # Grouped by bytes, because MySQL takes Staging and staging as equal.
    digits = Func("environment", function="HEX", output_field=CharField())
    rows = model._default_manager.filter(service=service).exclude(environment="").order_by().annotate(digits=digits).values_list("digits")
    return Counter({bytes.fromhex(name).decode(): count for name, count in rows.annotate(Count("pk"))})


def stored_source(service: Service) -> str | None:
    """Return the source of deployments that counted when the service was last computed; None if it has no attempt. All attempts have the same."""
    attempts = Attempt.objects.filter(service=service).order_by()  # first() would order by the id: MySQL would read the rows of all services
    return next(iter(attempts.values_list("source", flat=True)[:1]), None)
