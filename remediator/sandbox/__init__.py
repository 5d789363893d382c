"""A cluster in a box: a small Kubernetes API with moving workloads, for the demo, tests and rule authors."""
