"""The part of tune-nni that is where experiments are managed; the package `nni` is where trials run, too."""
