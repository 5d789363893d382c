"""All Kubernetes calls: where the API server is, what is read from it, and the one write."""
