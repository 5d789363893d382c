"""The daemon under faults: crashes at every point, broken connections, sick databases, a pooler; and what must hold."""
