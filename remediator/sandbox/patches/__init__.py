"""The ways to change an object by a patch: each a pure function from document and patch to a new document."""
