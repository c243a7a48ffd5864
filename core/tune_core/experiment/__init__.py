"""The experiment: the only place where algorithm, platform, search space and record meet."""
