"""Search spaces to try an algorithm on: every type, nested choices, a finite one, a single value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["EXAMPLE_SPACES"]

EXAMPLE_SPACES: Mapping[str, Mapping[str, Any]] = {
    "uniform": {
        "x": {"_type": "uniform", "_value": [-5, 10]},
        "y": {"_type": "uniform", "_value": [0, 1e-3]},
    },
    "every type": {
        "choice": {"_type": "choice", "_value": ["a", "b", 3, 4.5]},
        "randint": {"_type": "randint", "_value": [2, 9]},
        "uniform": {"_type": "uniform", "_value": [-1, 1]},
        "quniform": {"_type": "quniform", "_value": [2, 10, 5]},
        "loguniform": {"_type": "loguniform", "_value": [1e-5, 1]},
        "qloguniform": {"_type": "qloguniform", "_value": [1, 256, 8]},
        "normal": {"_type": "normal", "_value": [3, 0.5]},
        "qnormal": {"_type": "qnormal", "_value": [0, 10, 2]},
        "lognormal": {"_type": "lognormal", "_value": [0, 1]},
        "qlognormal": {"_type": "qlognormal", "_value": [2, 1, 1]},
    },
    "nested": {
        "lr": {"_type": "loguniform", "_value": [1e-4, 1]},
        "model": {
            "_type": "choice",
            "_value": [
                {"_name": "linear"},
                {
                    "_name": "forest",
                    "trees": {"_type": "randint", "_value": [10, 200]},
                    "split": {
                        "_type": "choice",
                        "_value": [
                            {"_name": "best"},
                            {"_name": "random", "share": {"_type": "uniform", "_value": [0, 1]}},
                        ],
                    },
                },
                {"_name": "network", "units": {"_type": "qloguniform", "_value": [8, 512, 8]}},
            ],
        },
    },
    "finite": {
        "a": {"_type": "choice", "_value": [1, 2, 3]},
        "b": {"_type": "randint", "_value": [0, 4]},
    },
    "one value": {"only": {"_type": "choice", "_value": ["this"]}},
}
