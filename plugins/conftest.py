"""What tests of several plugins share."""

from trainings import reports

__all__ = ["reports"]
