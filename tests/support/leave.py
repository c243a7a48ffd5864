"""Trials that go only as far as a test lets them, so that none has ended before what it does to them."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["WAIT_FOR_LEAVE", "Leave"]

# For the top of a trial, whose environment has the file as LEAVE.
WAIT_FOR_LEAVE = """
import json, os, time
import tune

def wait_for_leave(step):
    while True:
        with open(os.environ["LEAVE"]) as file:
            trials, steps = json.load(file)
        if tune.get_sequence_id() < trials or step < steps:
            return
        time.sleep(0.005)
"""


class Leave:
    """The file in which a test says how far trials may go; readable by whoever runs them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def give(self, trials: int, steps: int = 0) -> None:
        """Let the first `trials` go to their end, and the others report so many steps and then wait."""
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps([trials, steps]), encoding="utf-8")
        new.chmod(0o644)
        new.replace(self.path)
