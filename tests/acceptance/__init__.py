"""The real daemon, as a process, between a real Alertmanager, a real PostgreSQL and the sandbox cluster."""
