"""A tuner of one's own: random search whose draws gather around the best result so far."""

from tune_core import Tuner


class Shrinking(Tuner):
    """Draws around the best configuration, ever nearer to it.

    Args:
        first: Configurations that are drawn from the whole space before that.
        rate: By how much each trial makes the neighbourhood smaller.
    """

    # Everything it knows it knows from what was received: a resumed experiment need not ask again.
    replays_proposals = False

    def __init__(self, first: int = 5, rate: float = 0.9):
        self._first = first
        self._rate = rate
        self._results = 0
        self._best = None
        self._least = float("inf")

    def update_search_space(self, search_space):
        self._space = search_space

    def generate_parameters(self, parameter_id):
        rng = self.rng(parameter_id)  # the same for the same trial, also after a resume
        drawn = rng.random(self._space.dimensions)
        if self._results >= self._first:
            [best], _ = self._space.encode([self._best])  # each parameter as a number between 0 and 1
            side = self._rate**self._results
            drawn = (best + side * (drawn - 0.5)).clip(0, 1)
        return self._space.from_unit_cube(drawn.tolist())

    def receive_trial_result(self, parameter_id, parameters, value):
        self._results += 1
        if value < self._least:  # lower is better, whatever optimize_mode says
            self._best, self._least = parameters, value
