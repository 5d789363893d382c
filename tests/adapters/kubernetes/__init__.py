"""Tests of the adapter to Kubernetes."""
