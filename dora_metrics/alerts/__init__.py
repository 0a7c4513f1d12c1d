"""Who is told what: the signals, the rules about metrics, and the receivers for e-mail and webhook.

`from dora_metrics.alerts import critical_alert, warning_alert` is the public name of the signals.
"""

from dora_metrics.alerts.signals import critical_alert, notify, warning_alert

__all__ = ["critical_alert", "notify", "warning_alert"]
