"""What several parts of the interface share."""
