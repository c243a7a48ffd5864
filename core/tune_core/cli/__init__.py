"""The command `tune`: one module per noun, each loaded when it is typed.

A command parses, calls one thing and prints one thing. Results go to standard output, remarks to
standard error. Only `main` turns errors into messages and exit codes.
"""

from __future__ import annotations

from tune_core.cli.frame import cli, main

__all__ = ["cli", "main"]
