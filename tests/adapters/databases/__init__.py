"""The databases that are repaired, on a PostgreSQL of their own: what is changed there counts for the whole server."""
