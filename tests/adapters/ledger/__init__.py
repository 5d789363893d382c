"""Tests of our own PostgreSQL and everything that speaks with it."""
