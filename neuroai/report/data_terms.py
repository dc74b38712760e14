"""What every report says of the data: whose they are, on which terms, and what was done to them."""

from collections.abc import Mapping
from typing import Any

_LABELS = {
    "citation": "Data",
    "licence": "Licence of the data",
    "provenance": "Provenance",
    "repairs": "Repairs",
}


def data_terms(data: Mapping[str, Any]) -> list[str]:
    """Paragraphs on a recording's source, licence, provenance and repairs, as far as they are known.

    Parameters
    ----------
    data : mapping
        Of :func:`neuroai.runs.methods.data_facts`.

    Examples
    --------
    >>> data_terms({"name": "toy", "licence": "CC0", "provenance": ["simulated", "binned"]})
    ['Licence of the data: CC0', 'Provenance: simulated; binned']
    """
    found = {label: data[key] for key, label in _LABELS.items() if data.get(key)}
    return [
        f"{label}: {value if isinstance(value, str) else '; '.join(map(str, value))}"
        for label, value in found.items()
    ]
