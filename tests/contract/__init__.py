"""One suite a port, over the fake and the real part."""
