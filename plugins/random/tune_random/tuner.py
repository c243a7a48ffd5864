"""Random search: independent draws from the search space.

Bergstra, J. and Bengio, Y. (2012). Random search for hyper-parameter optimization. Journal of Machine
Learning Research 13, 281-305. https://jmlr.org/papers/v13/bergstra12a.html
"""

from typing import ClassVar

from tune_core import Parameters, SearchSpace, Tuner

__all__ = ["RandomTuner"]


class RandomTuner(Tuner):
    """Draws every configuration from the distributions of the search space; results are not used.

    Proposal number n depends on the seed and on n alone, not on how many trials run at once.
    """

    replays_proposals: ClassVar[bool] = False

    def update_search_space(self, search_space: SearchSpace) -> None:
        self._space = search_space

    def generate_parameters(self, parameter_id: int) -> Parameters:
        return self._space.sample(self.rng(parameter_id))

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        """Nothing is learnt."""
