"""Sphinx settings, and the pages that are made from the code before the build."""

import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from tune_core import __version__  # noqa: E402 (after the path that the next import needs)

project = "tune"
author = "The authors of tune"
copyright = author  # noqa: A001 (Sphinx's name for it)
release = version = __version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nitpicky = True

html_theme = "furo"
html_title = f"tune {__version__}"
html_static_path = ["_static"]
pygments_style = "friendly"


def write_reference(_app: Sphinx, _config: Config) -> None:
    """Fill docs/_build/reference, which the pages in docs/reference include, and docs/algorithms."""
    import algorithm_pages
    import reference_pages

    reference_pages.write(HERE / "_build" / "reference", HERE.parent)
    algorithm_pages.write(HERE / "algorithms", HERE.parent)


def setup(app: Sphinx) -> None:
    app.connect("config-inited", write_reference)
