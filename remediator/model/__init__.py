"""Frozen nouns, in order of appearance: signal, rule, target, facts, decision, plan, action, incident, entry, errors."""
