"""Tests of what moves in the sandbox cluster, under virtual time unless they say otherwise."""
