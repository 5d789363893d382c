"""The monitoring, where it is asked: Alertmanager for what it has, Prometheus for what it saw."""
