"""What a trial of tune imports: parameters in, metrics out.

    import tune

    parameters = tune.get_next_parameter()
    for epoch in range(10):
        tune.report_intermediate_result(train(parameters))
    tune.report_final_result(evaluate())

Outside an experiment the same script runs alone; see `tune.trial`. Importing this costs a few
milliseconds: the standard library only, and of that next to nothing until something is reported.
"""

from tune import utils
from tune.spaces import (
    branch,
    choice,
    lognormal,
    loguniform,
    normal,
    qlognormal,
    qloguniform,
    qnormal,
    quniform,
    randint,
    uniform,
)
from tune.trial import (
    get_checkpoint_dir,
    get_current_parameter,
    get_experiment_id,
    get_next_parameter,
    get_next_parameters,
    get_output_dir,
    get_parameters,
    get_sequence_id,
    get_trial_id,
    report_final_result,
    report_intermediate_result,
)
from tune.utils import merge_parameter

__all__ = [
    "branch",
    "choice",
    "get_checkpoint_dir",
    "get_current_parameter",
    "get_experiment_id",
    "get_next_parameter",
    "get_next_parameters",
    "get_output_dir",
    "get_parameters",
    "get_sequence_id",
    "get_trial_id",
    "lognormal",
    "loguniform",
    "merge_parameter",
    "normal",
    "qlognormal",
    "qloguniform",
    "qnormal",
    "quniform",
    "randint",
    "report_final_result",
    "report_intermediate_result",
    "uniform",
    "utils",
]
