"""One file from one address: resumed, retried, checked, and put in place whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from neuroai_datasets.errors import DamagedFileError, DatasetUnavailableError
from neuroai_datasets.locations import is_offline

if TYPE_CHECKING:
    import requests

Progress = Callable[[str, int, int], None]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_BLOCK = 1 << 14  # what is lost of a block when the connection breaks
_MAX_REDIRECTS = 5
_PAGE_STARTS = (b"<!doctype html", b"<html", b'<?xml version="1.0" encoding="utf-8"?><!doctype html')


@dataclass(frozen=True)
class Patience:
    """How long to wait: seconds to connect, between two blocks, after the first failure; and tries."""

    connect: float = 15.0
    read: float = 60.0
    pause: float = 1.0
    tries: int = 5


class _Temporary(Exception):
    """A failure worth another try."""


def download(
    url: str,
    target: str | Path,
    sha256: str,
    n_bytes: int,
    *,
    patience: Patience | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fetch one file whose size and SHA-256 are known.

    A file already in place with the right checksum is left alone.  Otherwise the content goes to
    ``<target>.part``, is continued from there after an interruption, and is moved into place only when
    its checksum is right.

    Parameters
    ----------
    url : str
        ``https`` address; plain ``http`` only on this machine itself.  Redirects are followed (at most 5)
        under the same rule.
    target : path
        Where the file goes; its folder is made.
    sha256 : str
        Expected digest, 64 hexadecimal digits.
    n_bytes : int
        Expected size; the transfer stops as soon as more arrives.
    patience : Patience, optional
        Time limits and number of tries.
    progress : callable, optional
        Called as ``progress(file name, bytes so far, n_bytes)``.

    Returns
    -------
    Path
        ``target``.

    Raises
    ------
    DatasetUnavailableError
        Offline, unreachable, refused, a redirect to an unsafe address, or a web page instead of data.
    DamagedFileError
        The server sends something else than the card promises.

    Notes
    -----
    Memory 16 KiB.  The digest is computed by ``pooch``.
    """
    target = Path(target)
    if target.is_file() and _is_right(target, sha256):
        return target
    if is_offline():
        raise DatasetUnavailableError(
            f"{target.name} is not on this machine and NEUROAI_OFFLINE is set: unset it, "
            f"or place the file from {url} at {target}"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    patience = patience or Patience()
    for fresh in (False, True):
        if fresh:
            part.unlink(missing_ok=True)
        resumed = part.is_file()
        _complete(url, part, n_bytes, patience, progress)
        if _is_right(part, sha256):
            part.replace(target)
            return target
        if not resumed:
            break
    found = part.stat().st_size
    part.unlink()
    raise DamagedFileError(
        f"{url} sent {found} bytes whose SHA-256 is not the expected {sha256[:12]}...: the file has changed "
        "or was tampered with; nothing was kept. Try again later, or look for a new catalogue card"
    )


def _is_right(path: Path, sha256: str) -> bool:
    import pooch

    digest: str = pooch.file_hash(str(path), alg="sha256")
    return digest == sha256


def _complete(url: str, part: Path, n_bytes: int, patience: Patience, progress: Progress | None) -> None:
    """Bring ``part`` to its full size, trying again after temporary failures."""
    import requests

    reason = ""
    for attempt in range(patience.tries):
        if attempt:
            time.sleep(min(patience.pause * 2 ** (attempt - 1), 30.0))
        try:
            with requests.Session() as session:
                _continue(session, url, part, n_bytes, patience, progress)
            return
        except (_Temporary, requests.RequestException) as error:
            reason = str(error) or type(error).__name__
    raise DatasetUnavailableError(
        f"{url} could not be fetched in {patience.tries} tries; last failure: {reason}. What arrived is kept "
        f"in {part} and the next try continues there; check the connection and run the same command again"
    )


def _continue(
    session: requests.Session,
    url: str,
    part: Path,
    n_bytes: int,
    patience: Patience,
    progress: Progress | None,
) -> None:
    """Append what is missing to ``part``."""
    have = part.stat().st_size if part.is_file() else 0
    if have >= n_bytes:
        if have == n_bytes:
            return
        part.unlink()
        have = 0
    response = _get(session, url, have, patience)
    with response:
        if response.status_code == 416:
            part.unlink(missing_ok=True)
            raise _Temporary("the server does not continue from here (416)")
        appending = have > 0 and response.status_code == 206
        have = have if appending else 0
        with part.open("ab" if appending else "wb") as file:
            for block in response.iter_content(_BLOCK):
                if have == 0:
                    _refuse_page(url, block, part.name.removesuffix(".part"))
                have += len(block)
                if have > n_bytes:
                    break
                file.write(block)
                if progress is not None:
                    progress(part.name.removesuffix(".part"), have, n_bytes)
    if have > n_bytes:
        part.unlink()
        raise DamagedFileError(
            f"{url} sends more than the {n_bytes} bytes of the catalogue card: the file has changed; "
            "nothing was kept"
        )
    if have < n_bytes:
        raise _Temporary(f"the connection ended after {have} of {n_bytes} bytes")


def _get(session: requests.Session, url: str, have: int, patience: Patience) -> requests.Response:
    """Follow redirects by hand, each address checked before it is asked."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "neuroai"}
    if have:
        headers["Range"] = f"bytes={have}-"
    address = url
    for _ in range(_MAX_REDIRECTS + 1):
        check_address(address, local=_is_loopback(url))
        response = session.get(
            address,
            headers=headers,
            stream=True,
            allow_redirects=False,
            timeout=(patience.connect, patience.read),
        )
        location = response.headers.get("Location")
        if response.status_code in (301, 302, 303, 307, 308) and location:
            response.close()
            address = urljoin(address, location)
            continue
        _check_status(response, url)
        return response
    raise DatasetUnavailableError(f"{url} redirects more than {_MAX_REDIRECTS} times: fetch it by hand")


def _check_status(response: Any, url: str) -> None:
    code = response.status_code
    if code in (200, 206, 416):
        return
    response.close()
    if code == 429 or code >= 500:
        raise _Temporary(f"the server answered {code}")
    raise DatasetUnavailableError(
        f"{url} answered {code}: the address has moved or needs permission; see how the set is obtained"
    )


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in _LOOPBACK


def check_address(url: str, *, local: bool = False) -> None:
    """Refuse any address but https ones; with ``local``, http on this machine passes too.

    Raises
    ------
    DatasetUnavailableError
        For every other address.

    Examples
    --------
    >>> check_address("https://example.org/a")
    >>> check_address("http://example.org/a")
    Traceback (most recent call last):
    ...
    neuroai_datasets.errors.DatasetUnavailableError: http://example.org/a is no https address: ...
    """
    parts = urlsplit(url)
    safe = parts.scheme == "https" and not _is_loopback(url)
    if not (safe and parts.hostname) and not (local and parts.scheme == "http" and _is_loopback(url)):
        raise DatasetUnavailableError(
            f"{url} is no https address: what arrives from it could be anything, so it is not asked; "
            "fetch the file by hand if you trust the place"
        )


def _refuse_page(url: str, block: bytes, name: str) -> None:
    """Recognise a log-in or error page by how it starts."""
    if name.endswith((".html", ".htm")):
        return
    start = block[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(_PAGE_STARTS):
        raise DatasetUnavailableError(
            f"{url} sent a web page instead of {name}: it probably asks to log in or has moved; "
            "open it in a browser"
        )
