"""Alerts: the signals, the rules about metrics, and the receivers that send alerts by e-mail and webhook.

Import the signals from here: `from dora_metrics.alerts import critical_alert, warning_alert`.
"""

from dora_metrics.alerts.signals import critical_alert, notify, warning_alert

__all__ = ["critical_alert", "notify", "warning_alert"]
