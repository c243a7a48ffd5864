"""NNI's interface over tune: trial code, and tuners, assessors and advisors, run as they are.

    import nni

    parameters = nni.get_next_parameter()
    nni.report_final_result(train(parameters))

What a trial needs is imported here, and is of the standard library and `tune` alone. The rest comes
when it is asked for: `nni.utils`, `nni.tuner`, `nni.assessor`, ...
"""

from nni.common.exception import NoMoreTrialError
from nni.runtime.absent import explain_absent_modules
from nni.runtime.environment import announce, refuse_beside_foreign
from nni.runtime.sdk import keep_beside

keep_beside()  # before anything of tune's is imported

from nni.trial import (  # noqa: E402
    get_current_parameter,
    get_experiment_id,
    get_next_parameter,
    get_next_parameters,
    get_parameters,
    get_sequence_id,
    get_trial_id,
    report_final_result,
    report_intermediate_result,
)

TYPE_CHECKING = False  # typing's own constant would import typing
if TYPE_CHECKING:
    from typing import Any

__version__ = "3.0"  # of the interface: the newest NNI

refuse_beside_foreign(__file__)
announce()
explain_absent_modules()

_EXPRESSIONS = (
    "choice",
    "function_choice",
    "lognormal",
    "loguniform",
    "normal",
    "qlognormal",
    "qloguniform",
    "qnormal",
    "quniform",
    "randint",
    "uniform",
)
_LATER = {
    **dict.fromkeys(_EXPRESSIONS, "nni.smartparam"),
    **dict.fromkeys(("ClassArgsValidator",), "nni.common.validation"),
}
_MODULES = ("assessor", "experiment", "parameter_expressions", "smartparam", "tuner", "utils")

__all__ = [  # noqa: PLE0604 (the names are in the table above)
    "ClassArgsValidator",
    "NoMoreTrialError",
    *_EXPRESSIONS,
    "enable_global_logging",
    "get_current_parameter",
    "get_experiment_id",
    "get_next_parameter",
    "get_next_parameters",
    "get_parameters",
    "get_sequence_id",
    "get_trial_id",
    "report_final_result",
    "report_intermediate_result",
    "silence_stdout",
    "utils",
]


def silence_stdout() -> None:
    """Nothing: standard output is never redirected here."""


def enable_global_logging(enable: bool = True) -> None:
    """Nothing: the loggers of others are never touched here."""


def __getattr__(name: str) -> "Any":
    import importlib

    if name in _MODULES:
        return importlib.import_module("nni." + name)
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module 'nni' has no attribute {name!r}")
