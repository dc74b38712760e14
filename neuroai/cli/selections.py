"""Free ``--key value`` flags: what to take of a recording."""

from collections.abc import Sequence

from neuroai.errors import ConfigError


def split_words(words: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Split words into the recording and its selections.

    Parameters
    ----------
    words : sequence of str
        One plain word, and pairs ``--key value`` or words ``--key=value``, in any order.

    Returns
    -------
    recording : str
        The plain word.
    selection : dict of str to str
        By key, with hyphens as underscores.

    Raises
    ------
    ConfigError
        If a key has no value, or there is not exactly one plain word.

    Examples
    --------
    >>> split_words(["v4_images", "--session", "210325"])
    ('v4_images', {'session': '210325'})
    """
    plain: list[str] = []
    selection: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            plain.append(word)
            continue
        key, separator, value = word[2:].partition("=")
        if not separator:
            if not rest or rest[0].startswith("--"):
                raise ConfigError(f"{word} has no value; selections are written --key VALUE")
            value = rest.pop(0)
        selection[key.replace("-", "_")] = value
    if len(plain) != 1:
        found = " ".join(plain) or "none"
        raise ConfigError(f"found the recordings {found}; expected one name or path, then --key VALUE")
    return plain[0], selection
