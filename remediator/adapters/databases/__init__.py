"""The PostgreSQL servers that are repaired: looked at, and changed by the functions that their owner installed."""
