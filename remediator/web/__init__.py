"""What an HTTP client sees: the webhook, health, metrics."""
