"""What an operator types, and what comes back."""
