"""The stages in the order that data takes: match, assess, admit, execute, verify, close. Read ``pipeline`` first."""
