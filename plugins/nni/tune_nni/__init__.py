"""The part of tune-nni that is where experiments are managed; the package `nni` is where trials run, too."""

from collections.abc import Iterable

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterable[Driver]:
    """None by name. `tune` lists the plugin as broken, and why, beside Microsoft's nni."""
    from tune_nni.foreign import refuse_beside_foreign

    refuse_beside_foreign()
    return ()
