"""Options that several commands share."""

from typing import Any

from typer import Option


def seed_option(text: str) -> Any:
    """A seed: a whole number that every generator in use takes."""
    return Option(min=0, max=2**32 - 1, help=text)
