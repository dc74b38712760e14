"""Configuration: precedence, suggestions, and a TOML that reads back."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroai.errors import ConfigError
from neuroai.runs import toml_text
from neuroai.runs.config import EncodeConfig, resolve
from neuroai.runs.parsing import as_alphas, as_bytes, split_readout


def test_flag_wins_over_environment_over_file_over_card(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('seed = 1\ncv = "3"\nmemory = "1GiB"\n')
    environ = {"NEUROAI_ENCODE_SEED": "2", "NEUROAI_ENCODE_MEMORY": "2GiB", "OTHER": "9"}
    card = {"seed": 9, "cv": 9, "detrend": "linear", "memory": "9GiB"}
    config, origins = resolve({"recording": "x", "seed": 3}, environ=environ, file=file, card=card)
    assert (config.seed, config.memory, config.cv, config.detrend) == (3, "2GiB", "3", "linear")
    expected = {"seed": "flag", "memory": "environment", "cv": "file", "detrend": "card", "score": "default"}
    assert {key: origins[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("wrong", "right"), [("feature", "features"), ("alpha", "alphas"), ("permutation", "permutations")]
)
def test_unknown_option_names_the_nearest(tmp_path: Path, wrong: str, right: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f"{wrong} = 1\n")
    with pytest.raises(ConfigError, match=f"did you mean '{right}'"):
        resolve({"recording": "x"}, file=file)


@pytest.mark.parametrize(
    "options",
    [
        {"readout": "forest"},
        {"cv": "leave-one"},
        {"alphas": "1,-1"},
        {"alphas": "1:2"},
        {"memory": "lots"},
        {"seed": -1},
        {"seed": 1.5},
        {"score": "both"},
        {"delays": "a"},
        {"readout": "ridge:pool"},
    ],
)
def test_unusable_values_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        resolve({"recording": "x", **options})


def test_no_recording_is_refused() -> None:
    with pytest.raises(ConfigError, match="no recording"):
        resolve({})


def test_selections_merge_over_sources() -> None:
    config, origins = resolve(
        {"recording": "x", "selection": {"b": "2"}}, card={"selection": {"a": "1", "b": "1"}}
    )
    assert config.selection == {"a": "1", "b": "2"}
    assert origins["selection"] == "flag"


def test_resolved_toml_reads_back_to_the_same_run() -> None:
    config, origins = resolve(
        {
            "recording": "a b",
            "alphas": "1e-3:1e5:20",
            "selection": {"session": "21"},
            "features": "pixels,gabor",
        }
    )
    table = tomllib.loads(config.to_toml(origins))
    again, _ = resolve(table)
    assert again == config
    assert again.digest() == config.digest()
    assert 'readout = "ridge"  # default' in config.to_toml(origins)


def test_digest_follows_what_is_computed_not_how() -> None:
    base = EncodeConfig("x")
    assert base.digest() == EncodeConfig("x", memory="1GiB", device="cuda").digest()
    assert base.digest() != EncodeConfig("x", seed=1).digest()


scalars = st.one_of(
    st.text(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.booleans(), st.lists(st.text())
)


@given(st.dictionaries(st.text(), st.one_of(scalars, st.dictionaries(st.text(), scalars))))
def test_toml_round_trip(table: dict[str, object]) -> None:
    try:
        str(table).encode()
    except UnicodeEncodeError:  # lone surrogates are no text
        return
    assert tomllib.loads(toml_text.dumps(table)) == table


def test_parsers() -> None:
    assert as_alphas("1e-2:1e2:5") == pytest.approx((0.01, 0.1, 1, 10, 100))
    assert as_bytes("2 MiB") == 2 * 1024**2
    assert split_readout("pca-ridge:components=100")[1] == {"components": 100}
