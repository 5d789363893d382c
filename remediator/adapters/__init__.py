"""The outside world, one folder or file a technology. Adapters translate; they decide nothing."""
