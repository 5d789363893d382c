"""Frozen nouns: signal, rule, target, facts, decision, plan, action, incident, entry, errors."""
