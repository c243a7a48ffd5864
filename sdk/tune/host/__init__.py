"""The host runtime: how a trial is started, watched and ended on the machine it runs on.

Standard library, Python 3.8 and newer. `tune-local` uses it in process; services that reach other
machines run the same code there, in a `tune.host.server` that `tune.host.boot` gets to run. `import
tune` does not load any of it.
"""

from tune.host.environment import trial_environment
from tune.host.launch import Launch
from tune.host.processes import Identity
from tune.host.reader import Problem, Record, RecordReader
from tune.host.runtime import End, Listener, Runtime

__all__ = [
    "End",
    "Identity",
    "Launch",
    "Listener",
    "Problem",
    "Record",
    "RecordReader",
    "Runtime",
    "trial_environment",
]
