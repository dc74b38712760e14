"""The catalogue: cards, terms first, one transfer for many processes, verification."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from neuroai_datasets import catalogue
from neuroai_datasets.cards import CatalogueCard
from neuroai_datasets.catalogue import fetch, fetching, info, list_datasets, locate, require, verify
from neuroai_datasets.errors import CardError, DamagedFileError, DatasetUnavailableError
from neuroai_datasets.readers import READERS

PUBLIC = {
    "algonauts2023",
    "bold5000",
    "cneuromod",
    "haxby2001-full",
    "mnist",
    "nsd",
    "short_clips",
    "things_fmri",
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEUROAI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NEUROAI_DATA", raising=False)
    monkeypatch.delenv("NEUROAI_OFFLINE", raising=False)
    return tmp_path / "cache"


def card_for(server, **change: object) -> CatalogueCard:
    table = {
        "name": "toy",
        "title": "Toy set",
        "citation": "Nobody (2000)",
        "licence": "CC0",
        "size_bytes": 300_000,
        "how_to_obtain": "Ask nobody.",
        "fetcher": "pooch",
        "reader": "idx",
        "files": {
            "a/file.bin": {"sha256": server.sha256, "bytes": len(server.content), "url": f"{server.url}/slow"}
        },
    }
    return CatalogueCard.model_validate(table | change)


@pytest.fixture
def toy(server, monkeypatch: pytest.MonkeyPatch) -> CatalogueCard:
    card = card_for(server)
    monkeypatch.setattr(catalogue, "_cards", lambda: {"toy": card})
    return card


def test_every_public_set_has_a_card() -> None:
    listed = {listing.name: listing for listing in list_datasets()}
    assert set(listed) >= PUBLIC
    for name in listed:
        card = info(name)
        assert card.reader in READERS, name
        assert card.title
        assert card.citation or card.defects, name
        assert card.licence
        assert card.how_to_obtain
        for url in [*card.urls, *(entry.url for entry in card.files.values() if entry.url)]:
            assert url.startswith("https://"), url
    assert not any(listed[name].is_here for name in PUBLIC)


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(CardError, match="did you mean 'nsd'"):
        info("nds")


def test_terms_come_first_and_acceptance_is_kept(toy, server, own_cache: Path) -> None:
    with pytest.raises(DatasetUnavailableError, match="Licence: CC0") as refusal:
        fetch("toy")
    assert "Nobody (2000)" in str(refusal.value)
    assert not server.asked
    shown = []
    with pytest.raises(DatasetUnavailableError):
        fetch("toy", ask=lambda text: bool(shown.append(text)))
    assert "0.3 MB" in shown[0]
    with pytest.raises(DatasetUnavailableError, match="another one"):
        fetch("toy", accept_licence="GPL")
    assert not server.asked
    folder = fetch("toy", accept_licence="cc0")
    assert (folder / "a/file.bin").read_bytes() == server.content
    assert json.loads((own_cache / "licences.json").read_text())["toy"]["licence"] == "CC0"
    (folder / "a/file.bin").unlink()
    assert fetch("toy") == folder
    assert server.asked["/slow"] == 2


def test_a_changed_licence_is_asked_again(toy, server, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetch("toy", ask=lambda text: True)
    (folder / "a/file.bin").unlink()
    monkeypatch.setattr(catalogue, "_cards", lambda: {"toy": card_for(server, licence="GPL-3.0")})
    with pytest.raises(DatasetUnavailableError, match="GPL-3"):
        fetch("toy")


def test_offline(toy, server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROAI_OFFLINE", "1")
    with pytest.raises(DatasetUnavailableError, match="NEUROAI_OFFLINE"):
        fetch("toy", accept_licence=True)
    assert not server.asked
    monkeypatch.setenv("NEUROAI_OFFLINE", "0")
    folder = fetch("toy", accept_licence=True)
    monkeypatch.setenv("NEUROAI_OFFLINE", "1")
    assert fetch("toy") == folder


def test_verify_finds_every_kind_of_damage(toy, server) -> None:
    with pytest.raises(DatasetUnavailableError, match="neuroai data fetch toy"):
        verify("toy")
    file = fetch("toy", accept_licence=True) / "a/file.bin"
    assert verify("toy").ok
    assert verify("toy").n_checked == 1
    damaged = bytearray(server.content)
    damaged[123_456] ^= 1
    file.write_bytes(damaged)
    assert "SHA-256" in verify("toy").problems[0]
    file.write_bytes(server.content[:-1])
    assert "299999 bytes, expected 300000" in verify("toy").problems[0]


def test_users_own_folder_comes_before_the_cache(toy, server, tmp_path, monkeypatch) -> None:
    fetch("toy", accept_licence=True)
    own = tmp_path / "data" / "toy" / "a"
    own.mkdir(parents=True)
    (own / "file.bin").write_bytes(server.content)
    monkeypatch.setenv("NEUROAI_DATA", str(tmp_path / "data"))
    assert locate("toy") == require("toy") == tmp_path / "data" / "toy"


def test_restricted_sets_say_how_to_get_them(own_cache: Path) -> None:
    for name in ("nsd", "algonauts2023", "cneuromod", "short_clips"):
        with pytest.raises(DatasetUnavailableError, match="cannot be fetched by a program") as refusal:
            fetch(name, accept_licence=True)
        assert f"neuroai data verify {name}" in str(refusal.value)
    folder = own_cache / "datasets" / "nsd"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("nothing")
    found = verify("nsd")
    assert not found.ok
    assert "does not look like" in found.problems[0]


def test_what_the_user_placed_is_compared_with_the_layout(own_cache: Path) -> None:
    folder = own_cache / "datasets" / "nsd"
    (folder / "nsddata_betas/ppdata/subj02").mkdir(parents=True)
    (folder / "nsddata_betas/ppdata/subj02/note").write_text("")
    problems = "\n".join(verify("nsd").problems)
    assert "nsd_expdesign.mat is missing" in problems
    assert "subject 2: no betas_fithrf_GLMdenoise_RR" in problems


def test_haxby_is_fetched_by_nilearn_and_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    import nilearn.datasets

    def fake(data_dir: str, subjects: list[int], verbose: int) -> None:
        for subject in subjects:
            target = Path(data_dir) / "haxby2001" / f"subj{subject}"
            target.mkdir(parents=True)
            (target / "bold.nii.gz").write_bytes(bytes([subject]) * 100)

    monkeypatch.setattr(nilearn.datasets, "fetch_haxby", fake)
    folder = fetch("haxby2001-full", accept_licence=True)
    assert verify("haxby2001-full").n_checked == 6
    (folder / "haxby2001/subj3/bold.nii.gz").write_bytes(b"")
    assert "subj3" in verify("haxby2001-full").problems[0]

    def broken(**_: object) -> None:
        raise OSError("no route")

    (folder / ".neuroai-sha256.json").write_text("[")
    with pytest.raises(DamagedFileError, match="noted checksums"):
        verify("haxby2001-full")
    (folder / ".neuroai-sha256.json").unlink()
    monkeypatch.setattr(nilearn.datasets, "fetch_haxby", broken)
    with pytest.raises(DatasetUnavailableError, match="no route"):
        fetch("haxby2001-full")


FETCH_ONCE = """
import sys
from neuroai_datasets import catalogue
from neuroai_datasets.cards import CatalogueCard
card = CatalogueCard.model_validate_json(sys.argv[1])
catalogue._cards = lambda: {"toy": card}
print(catalogue.fetch("toy", accept_licence=True))
"""


def test_many_processes_transfer_once(toy, server, own_cache: Path) -> None:
    command = [sys.executable, "-c", FETCH_ONCE, toy.model_dump_json()]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    folders = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 6
    assert folders == {str(own_cache / "datasets" / "toy")}
    assert server.asked["/slow"] == 1
    assert verify("toy").ok


def test_a_killed_fetch_leaves_no_lock_and_no_partial_file(toy, server, own_cache: Path) -> None:
    server.script["/slow"] = ["stall", "good"]
    process = subprocess.Popen(
        [sys.executable, "-c", FETCH_ONCE, toy.model_dump_json()], stdout=subprocess.PIPE
    )
    part = own_cache / "datasets/toy/a/file.bin.part"
    while process.poll() is None and not part.exists():
        pass
    process.kill()
    process.communicate()
    assert not (own_cache / "datasets/toy/a/file.bin").exists()
    assert fetch("toy", accept_licence=True).is_dir()
    assert verify("toy").ok


def test_damaged_notes_only_ask_again(toy, own_cache: Path) -> None:
    own_cache.mkdir()
    (own_cache / "licences.json").write_text('["x"')
    with pytest.raises(DatasetUnavailableError, match="accept"):
        fetch("toy")
    fetch("toy", accept_licence=True)


def test_unwritable_cache_is_said(toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NEUROAI_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DatasetUnavailableError, match="set NEUROAI_CACHE"):
        fetch("toy", accept_licence=True)


def test_cards_that_cannot_be_fetched(server, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"x": {"sha256": "0" * 64, "bytes": 1}}
    for change, message in (
        ({"files": files}, "no address"),
        ({"fetcher": "ftp", "files": files}, "unknown fetcher"),
    ):
        card = card_for(server, **change)
        monkeypatch.setattr(catalogue, "_cards", lambda card=card: {"toy": card})
        with pytest.raises(DatasetUnavailableError, match=message):
            fetching.fetch("toy", accept_licence=True)
