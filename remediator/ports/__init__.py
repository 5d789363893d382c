"""All Protocols: what the stages need of the outside. A reader and a writer wherever both exist."""
