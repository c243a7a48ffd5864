"""An assessor of one's own: ends trials that have not got better for a while."""

from tune_core import Assessor


class Stuck(Assessor):
    """Ends a trial whose best result is `patience` reports old.

    Args:
        patience: So many reports in a row may be no better.
    """

    def __init__(self, patience: int = 3):
        self._patience = patience

    def assess_trial(self, trial_id, history):
        best = history.index(min(history))  # lower is better, whatever optimize_mode says
        return len(history) - 1 - best < self._patience
