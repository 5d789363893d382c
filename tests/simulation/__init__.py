"""A deterministic simulation of the stages: virtual time, a seeded order of events, faults, and nine invariants."""
