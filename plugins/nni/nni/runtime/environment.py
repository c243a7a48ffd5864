"""NNI's variables, for code that reads them."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing's own constant would import typing
if TYPE_CHECKING:
    from typing import Mapping

__all__ = ["announce", "refuse_beside_foreign", "variables"]


def variables(ours: Mapping[str, str]) -> dict[str, str]:
    """NNI's variables of a trial that tune did not give it already; none outside of an experiment.

    `NNI_SYS_DIR` is the output folder too: nothing is controlled through files of NNI's.
    """
    if "TUNE_PLATFORM" not in ours:
        return {}
    return {
        "NNI_PLATFORM": ours["TUNE_PLATFORM"],
        "NNI_SYS_DIR": ours.get("TUNE_OUTPUT_DIR", ""),
        "MULTI_PHASE": "false",
        "REUSE_MODE": "false",
    }


def refuse_beside_foreign(package_file: str) -> None:
    """Refuse to be imported where Microsoft's nni is installed too: the files of the two are mixed there.

    Only the names in the folder of installed packages are looked at, which takes a tenth of a millisecond.

    Raises:
        ImportError: It is.
    """
    folder = os.path.dirname(os.path.dirname(os.path.abspath(package_file)))
    try:
        installed = os.listdir(folder)
    except OSError:  # such as in an archive, where nothing is mixed
        return
    for name in installed:
        if name.startswith("nni-") and name.endswith((".dist-info", ".egg-info")):
            raise ImportError(
                f"{os.path.join(folder, name)}: Microsoft's nni is installed here, and tune-nni brings a "
                "package of the same name: "
                "pip uninstall nni, then pip install --force-reinstall --no-deps tune-nni"
            )


def announce() -> None:
    """Put them into this process' environment, from where its children have them too."""
    os.environ.update(variables(os.environ))
