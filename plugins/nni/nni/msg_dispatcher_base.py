"""The place of `MsgDispatcherBase` in NNI 1."""

from nni.runtime.msg_dispatcher_base import MsgDispatcherBase

__all__ = ["MsgDispatcherBase"]
