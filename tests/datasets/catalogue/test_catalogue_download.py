"""One file over a bad network: only the right bytes are ever put in place."""

import socket
from pathlib import Path

import numpy as np
import pytest

from neuroai_datasets.download import Patience, check_address, download
from neuroai_datasets.errors import DamagedFileError, DataError, DatasetUnavailableError

QUICK = Patience(connect=2.0, read=0.3, pause=0.001, tries=4)


@pytest.fixture
def get(server, tmp_path: Path):
    def run(path: str, **patience: object) -> Path:
        return download(
            f"{server.url}/{path}",
            tmp_path / "in" / "file.bin",
            server.sha256,
            len(server.content),
            patience=QUICK,
        )

    return run


def test_fetches_whole_and_once(get, server, tmp_path: Path) -> None:
    steps = []
    target = download(
        f"{server.url}/good",
        tmp_path / "file.bin",
        server.sha256,
        len(server.content),
        progress=lambda *step: steps.append(step),
    )
    assert target.read_bytes() == server.content
    assert steps[-1] == ("file.bin", 300_000, 300_000)
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]
    download(f"{server.url}/good", target, server.sha256, len(server.content))
    assert server.asked["/good"] == 1


def test_a_changed_file_in_place_is_fetched_anew(get, server, tmp_path: Path) -> None:
    target = tmp_path / "in" / "file.bin"
    target.parent.mkdir()
    target.write_bytes(b"something else")
    assert get("good").read_bytes() == server.content


def test_continues_where_the_connection_broke(get, server) -> None:
    assert get("drop").read_bytes() == server.content
    block = 1 << 14
    assert server.ranges == [f"bytes={6 * block * n}-" for n in (1, 2, 3)]


def test_stalls_are_cut_and_continued(get, server) -> None:
    server.script["/x"] = ["stall", "good"]
    assert get("x").read_bytes() == server.content
    assert server.ranges == [f"bytes={3 << 14}-"]


def test_busy_server_is_asked_again(get, server) -> None:
    server.script["/x"] = ["busy", "busy", "good"]
    assert get("x").read_bytes() == server.content


def test_servers_that_do_not_continue(get, server) -> None:
    server.script["/x"] = ["drop", "norange"]
    assert get("x").read_bytes() == server.content
    server.script["/y"] = ["drop", "unsatisfiable", "good"]
    (target := get("x")).unlink()
    assert get("y").read_bytes() == server.content
    assert target.exists()


def test_gives_up_and_continues_next_time(get, server, tmp_path: Path) -> None:
    server.script["/x"] = ["stall", "busy", "busy", "busy", "good"]
    with pytest.raises(DatasetUnavailableError, match=r"4 tries.*503.*continues there"):
        get("x")
    assert (tmp_path / "in" / "file.bin.part").stat().st_size == 3 << 14
    assert get("x").read_bytes() == server.content
    assert server.ranges[-1] == f"bytes={3 << 14}-"


@pytest.mark.parametrize("path", ["lie", "long"])
def test_wrong_bytes_are_never_kept(get, path: str, tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match="nothing was kept"):
        get(path)
    assert list((tmp_path / "in").iterdir()) == []


def test_a_wrong_beginning_is_dropped_and_fetched_anew(get, server, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file.bin.part").write_bytes(b"x" * 1000)
    assert get("good").read_bytes() == server.content


def test_truncation_is_noticed(get) -> None:
    with pytest.raises(DatasetUnavailableError, match="ended after 1000 of 300000"):
        get("short")


def test_a_web_page_is_recognised(get, tmp_path: Path) -> None:
    with pytest.raises(DatasetUnavailableError, match="web page"):
        get("html")
    assert not (tmp_path / "in" / "file.bin").exists()


@pytest.mark.parametrize(
    ("path", "message"), [("forbidden", "403"), ("nowhere", "404"), ("loop", "redirects more")]
)
def test_refusals_are_not_repeated(get, server, path: str, message: str) -> None:
    with pytest.raises(DatasetUnavailableError, match=message):
        get(path)
    assert server.asked[f"/{path}"] <= 6


def test_redirects(get, server) -> None:
    assert get("moved").read_bytes() == server.content
    get("moved").unlink()
    for path in ("insecure", "file"):
        with pytest.raises(DatasetUnavailableError, match="no https address"):
            get(path)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/x",
        "ftp://example.org/x",
        "file:///x",
        "https://127.0.0.1/x",
        "http://127.0.0.1/x",
        "https:///x",
    ],
)
def test_addresses_that_are_not_asked(url: str) -> None:
    with pytest.raises(DatasetUnavailableError, match="https"):
        check_address(url)
    check_address("https://example.org/x")


def test_offline_opens_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setenv("NEUROAI_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(DatasetUnavailableError, match="NEUROAI_OFFLINE"):
        download("https://example.org/x", tmp_path / "x", "0" * 64, 1)


def test_hundred_bad_servers_and_no_wrong_file(server, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    kinds = [
        "good",
        "drop",
        "lie",
        "long",
        "short",
        "html",
        "busy",
        "forbidden",
        "norange",
        "moved",
        "insecure",
    ]
    accepted = 0
    for trial in range(100):
        server.script[f"/{trial}"] = [str(kind) for kind in rng.choice(kinds, size=5)]
        target = tmp_path / f"{trial}.bin"
        for _ in range(2):
            try:
                download(f"{server.url}/{trial}", target, server.sha256, len(server.content), patience=QUICK)
            except DataError:
                continue
        if target.exists():
            assert target.read_bytes() == server.content
            accepted += 1
    assert 30 < accepted < 100
