"""Our own PostgreSQL: its life cycle, its connections, its migrations and all SQL spoken to it."""
