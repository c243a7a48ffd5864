"""What NNI's algorithms raise."""

__all__ = ["NoMoreTrialError"]


class NoMoreTrialError(Exception):
    """A tuner has nothing to propose: never again if no trial runs, else until something has happened."""

    def __init__(self, ErrorInfo: object = "") -> None:  # noqa: N803 (NNI's name)
        super().__init__(ErrorInfo)
        self.errorinfo = ErrorInfo
