"""Tests of what asks Alertmanager and Prometheus."""
