"""Tests of the stages, over the real database and the sandbox's API server."""
