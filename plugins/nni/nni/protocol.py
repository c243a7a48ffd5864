"""The place of `send` in NNI 1."""

from nni.runtime.protocol import CommandType, send

__all__ = ["CommandType", "send"]
