"""Where NNI 2 kept its algorithms. Here each is a package, and none is imported from here."""

raise ImportError(
    "nni.algorithms is not part of tune-nni: algorithms are plugins of tune, known by their names. "
    "Name one in the configuration (tuner: {name: TPE}); to drive one from Python without an experiment "
    "use tune_core.AskTell; a tuner of your own inherits from nni.tuner.Tuner"
)
