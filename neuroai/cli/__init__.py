"""The ``neuroai`` command. Commands only translate flags into keywords of public functions."""

from neuroai.cli.errors import main as main

__all__ = ["main"]
