"""What is said in place of `No module named 'nni.nas'`: why there is none, and what to do."""

from __future__ import annotations

import sys

__all__ = ["explain_absent_modules"]

_ALGORITHMS = (
    "algorithms are plugins of tune, known by their names. "
    "Name one in the configuration (tuner: {name: TPE}); to drive one from Python without an experiment "
    "use tune_core.AskTell; a tuner of your own inherits from nni.tuner.Tuner"
)
_NAS = "architectures are searched by plugins of tune, with layer_choice and input_choice in the search space"
_WHY = {
    "algorithms": _ALGORITHMS,
    "nas": _NAS,
    "retiarii": _NAS,
    "compression": "it compresses no models",
    "feature_engineering": "it selects no features",
    "tools": "the command line is `nnictl`, and experiments are started with nni.experiment",
}
_ELSE = "it has what trial code and custom tuners, assessors and advisors import, and nni.experiment"


def explain_absent_modules() -> None:
    """Answer imports of modules of NNI that nobody else has found."""
    sys.meta_path.append(_Absent())


class _Absent:
    def find_spec(self, name: str, *_: object) -> None:
        module = name[len("nni.") :]
        if name.startswith("nni.") and "." not in module:
            is_algorithm = module.endswith(("_tuner", "_advisor", "_assessor"))
            why = _ALGORITHMS if is_algorithm else _WHY.get(module, _ELSE)
            raise ImportError(f"{name} is not part of tune-nni: {why}", name=name)
