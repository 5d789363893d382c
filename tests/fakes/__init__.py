"""Fakes that pass the contract tests of the real parts."""
