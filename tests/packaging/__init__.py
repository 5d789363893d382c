"""What leaves the repository: the wheel, the image's recipe, the lock files, the list of dependencies."""
