"""What is there and what is missing before, or instead of, a start: everything is looked at and nothing is written."""
