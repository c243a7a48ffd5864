"""`python -m tune_core` is the command `tune`, where another package owns that word."""

import sys
from pathlib import Path

# Python puts the present folder first: a `yaml.py` there must not be taken for the library.
if not sys.flags.safe_path and sys.path and Path(sys.path[0]) != Path(__file__).parents[1]:
    del sys.path[0]

from tune_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
