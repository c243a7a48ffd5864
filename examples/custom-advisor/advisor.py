"""An advisor of one's own: it proposes configurations and ends trials too."""

from tune_core import Advisor


class Race(Advisor):
    """Runs random configurations, and ends those that are behind the best of their step.

    Args:
        start: The first reports of a trial are not looked at.
        margin: How far behind a trial may be.
    """

    replays_proposals = False

    def __init__(self, start: int = 3, margin: float = 0.1):
        self._start = start
        self._margin = margin
        self._steps = {}  # reports of each running trial
        self._best = {}  # of each step, over all trials

    def update_search_space(self, search_space):
        self._space = search_space

    def propose(self, parameter_id):
        return self._space.sample(self.rng(parameter_id))

    def report_intermediate(self, parameter_id, value):
        step = self._steps[parameter_id] = self._steps.get(parameter_id, 0) + 1
        best = self._best[step] = min(self._best.get(step, value), value)  # lower is better
        return step <= self._start or value <= best + self._margin

    def trial_restart(self, parameter_id):
        self._steps.pop(parameter_id, None)  # it begins again, on another machine

    def trial_end(self, parameter_id, state, value):
        self._steps.pop(parameter_id, None)

    def import_data(self, data):
        """Finished trials say nothing of steps."""
