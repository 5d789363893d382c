"""The gates of `make test` that are neither a linter nor a test: coverage floors, audit, what is printed last."""
