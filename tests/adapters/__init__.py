"""Tests of the adapters, one folder or file a technology."""
