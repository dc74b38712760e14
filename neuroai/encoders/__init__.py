"""Encoding models of the brain: features of stimuli, readouts, ridge, ceilings, statistics.

Names resolve on first use, so that ``import neuroai.encoders`` stays light.

Examples
--------
>>> from neuroai.encoders import FeatureMaps, noise_ceiling
>>> noise_ceiling.__module__
'neuroai.encoders.ceilings'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroai.encoders.ceilings import explainable_variance as explainable_variance
    from neuroai.encoders.ceilings import ncsnr as ncsnr
    from neuroai.encoders.ceilings import noise_ceiling as noise_ceiling
    from neuroai.encoders.ceilings import split_half as split_half
    from neuroai.encoders.decode import Decoding as Decoding
    from neuroai.encoders.decode import decode_blocks as decode_blocks
    from neuroai.encoders.designs import design as design
    from neuroai.encoders.features import FeatureCache as FeatureCache
    from neuroai.encoders.features import FeatureMaps as FeatureMaps
    from neuroai.encoders.features import default_cache as default_cache
    from neuroai.encoders.features import extract as extract
    from neuroai.encoders.hrf import double_gamma as double_gamma
    from neuroai.encoders.partition import partition_variance as partition_variance
    from neuroai.encoders.partition import product_measure as product_measure
    from neuroai.encoders.power import cc_norm as cc_norm
    from neuroai.encoders.power import signal_power as signal_power
    from neuroai.encoders.power import signal_power_explained as signal_power_explained
    from neuroai.encoders.preprocess import detrend as detrend
    from neuroai.encoders.preprocess import zscore as zscore
    from neuroai.encoders.readouts import AttentionReadout as AttentionReadout
    from neuroai.encoders.readouts import FactorisedReadout as FactorisedReadout
    from neuroai.encoders.readouts import GaussianReadout as GaussianReadout
    from neuroai.encoders.readouts import PCARidgeReadout as PCARidgeReadout
    from neuroai.encoders.readouts import Readout as Readout
    from neuroai.encoders.readouts import RidgeReadout as RidgeReadout
    from neuroai.encoders.readouts import make_readout as make_readout
    from neuroai.encoders.readouts.registry import READOUTS as READOUTS
    from neuroai.encoders.result import EncodingResult as EncodingResult
    from neuroai.encoders.ridge import RidgeCV as RidgeCV
    from neuroai.encoders.scores import explained_variance as explained_variance
    from neuroai.encoders.scores import pearson_r as pearson_r
    from neuroai.encoders.scores import r2_over_ceiling as r2_over_ceiling
    from neuroai.encoders.scores import r2_score as r2_score
    from neuroai.encoders.statistics import bootstrap_r as bootstrap_r
    from neuroai.encoders.statistics import fdr as fdr
    from neuroai.encoders.statistics import permutation_p as permutation_p

_PLACES = {
    "READOUTS": "readouts",
    "AttentionReadout": "readouts",
    "Decoding": "decode",
    "EncodingResult": "result",
    "FactorisedReadout": "readouts",
    "FeatureCache": "features",
    "FeatureMaps": "features",
    "GaussianReadout": "readouts",
    "PCARidgeReadout": "readouts",
    "Readout": "readouts",
    "RidgeCV": "ridge",
    "RidgeReadout": "readouts",
    "bootstrap_r": "statistics",
    "cc_norm": "power",
    "decode_blocks": "decode",
    "default_cache": "features",
    "design": "designs",
    "detrend": "preprocess",
    "double_gamma": "hrf",
    "explainable_variance": "ceilings",
    "explained_variance": "scores",
    "extract": "features",
    "fdr": "statistics",
    "make_readout": "readouts",
    "ncsnr": "ceilings",
    "noise_ceiling": "ceilings",
    "partition_variance": "partition",
    "pearson_r": "scores",
    "permutation_p": "statistics",
    "product_measure": "partition",
    "r2_over_ceiling": "scores",
    "r2_score": "scores",
    "signal_power": "power",
    "signal_power_explained": "power",
    "split_half": "ceilings",
    "zscore": "preprocess",
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(__all__)}")
    value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
