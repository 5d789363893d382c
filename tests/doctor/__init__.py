"""What ``remediator doctor`` finds, area by area."""
