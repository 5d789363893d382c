"""What can be done to a workload: one pure module an action, each of which turns parameters and facts into a plan."""
