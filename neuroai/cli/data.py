"""``neuroai data``: the catalogue."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

data = typer.Typer(help="List, describe, fetch, check and convert recordings.", no_args_is_help=True)

_FREE = {"allow_extra_args": True, "ignore_unknown_options": True}
_Name = Annotated[str, Argument(help="Name in the catalogue, or a path.")]


@data.command("list")
def list_(as_json: Annotated[bool, Option("--json", help="Print one JSON array.")] = False) -> None:
    """List the catalogue: name, size, licence, and whether it is on this machine."""
    import json

    from neuroai_datasets.catalogue import list_datasets

    found = list_datasets()
    if as_json:
        keys = ("name", "title", "modality", "licence", "size_bytes", "is_here")
        print(json.dumps([{key: getattr(entry, key) for key in keys} for entry in found]))
        return
    for entry in found:
        here = "here" if entry.is_here else "-"
        print(f"{entry.name:24} {here:5} {_size(entry.size_bytes):>9}  {entry.licence:28.28}  {entry.title}")


@data.command()
def info(name: _Name) -> None:
    """Describe a data set: citation, licence, size, selections, known defects, how to get it.

    Of a path: what the recording there holds.
    """
    from neuroai_datasets.catalogue import info as describe
    from neuroai_datasets.catalogue import list_datasets, locate
    from neuroai_datasets.loading import load

    if name not in {entry.name for entry in list_datasets()} and Path(name).exists():
        print(load(name))
        return
    card = describe(name)
    lines = {
        "title": card.title,
        "citation": card.citation,
        "licence": f"{card.licence} {card.licence_url}".strip(),
        "modality": ", ".join(word for word in (card.species, card.modality) if word),
        "size": _size(card.size_bytes) + (" (estimate)" if card.size_is_estimate else ""),
        "units": card.units,
        "here": str(locate(name) or "no"),
        "obtain": card.how_to_obtain,
    }
    lines |= {f"--{key}": f"{', '.join(s.choices)}  ({s.help})" for key, s in card.selections.items()}
    for key, value in lines.items():
        if value:
            print(f"{key:10} {value}")
    for defect in card.defects:
        print(f"{'defect':10} {defect}")


@data.command()
def fetch(
    name: Annotated[str, Argument(help="Name in the catalogue.")],
    accept_licence: Annotated[
        str | None, Option(help="Name of the licence, to accept it without being asked.")
    ] = None,
) -> None:
    """Fetch a data set after showing its terms, and print its folder."""
    from neuroai.runs.console import for_stream
    from neuroai_datasets.catalogue import fetch as get

    with for_stream(quiet=True) as progress:
        accepted = accept_licence or False
        print(get(name, accept_licence=accepted, ask=_ask, progress=progress))


@data.command()
def verify(name: _Name) -> None:
    """Check every file of a data set against the catalogue, or a recording of your own."""
    from neuroai.errors import DamagedFileError
    from neuroai.runs.console import for_stream
    from neuroai_datasets.catalogue import verify as check

    with for_stream(quiet=False) as progress:
        found = check(name, progress=progress)
    for problem in found.problems:
        print(problem)
    if not found.ok:
        raise DamagedFileError(f"{name} is not as it should be, see above; correct it, or fetch it again")
    files = f", {found.n_checked} files" if found.n_checked > 1 else ""
    print(f"{found.folder}: as it should be (checked by {found.basis}{files})")


@data.command(context_settings=_FREE)
def convert(
    context: typer.Context,
    recording: Annotated[str, Argument(help="Catalogue name or path.")],
    out: Annotated[Path, Option(help="File to write, ending in .h5.")],
    include_stimulus: Annotated[bool, Option("--include-stimulus", help="Store pictures too.")] = False,
) -> None:
    """Write a recording as one checksummed HDF5 file; --key VALUE selects within it."""
    from neuroai.cli.selections import split_words
    from neuroai.errors import ConfigError
    from neuroai_datasets.loading import OWN_SUFFIXES, load

    if out.suffix not in OWN_SUFFIXES or out.is_dir():
        raise ConfigError(f"found --out {out}, expected a file ending in {' or '.join(OWN_SUFFIXES)}")
    name, selection = split_words([recording, *context.args])
    found = load(name, **selection)
    print(found.save(out, include_stimulus=include_stimulus))
    if found.stimulus is not None and not include_stimulus:
        typer.echo("pictures are not in the file; --include-stimulus stores them too", err=True)


def _ask(terms: str) -> bool:
    typer.echo(terms, err=True)
    return typer.confirm("Accept these terms?", err=True)


def _size(count: int) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000  # type: ignore[assignment]
    return f"{count:.1f} TB"
