"""The place of `multi_phase_enabled` and `init_logger` in NNI 1.2 to 1.9."""

from nni.common import init_logger, multi_phase_enabled

__all__ = ["init_logger", "multi_phase_enabled"]
