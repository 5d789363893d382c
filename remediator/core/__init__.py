"""Pure verbs: values in, values out. No clock, no world, no log."""
