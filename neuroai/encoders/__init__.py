"""Encoding models of the brain: features of stimuli, readouts, ridge, ceilings, statistics.

Names resolve on first use, so that ``import neuroai.encoders`` stays light.

Examples
--------
>>> from neuroai.encoders import FeatureMaps, noise_ceiling
>>> noise_ceiling.__module__
'neuroai.encoders.ceilings'
"""

from typing import TYPE_CHECKING

import lazy_loader

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

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "ceilings": ["explainable_variance", "ncsnr", "noise_ceiling", "split_half"],
        "decode": ["Decoding", "decode_blocks"],
        "designs": ["design"],
        "features": ["FeatureCache", "FeatureMaps", "default_cache", "extract"],
        "hrf": ["double_gamma"],
        "partition": ["partition_variance", "product_measure"],
        "power": ["cc_norm", "signal_power", "signal_power_explained"],
        "preprocess": ["detrend", "zscore"],
        "readouts": [
            "AttentionReadout",
            "FactorisedReadout",
            "GaussianReadout",
            "PCARidgeReadout",
            "READOUTS",
            "Readout",
            "RidgeReadout",
            "make_readout",
        ],
        "result": ["EncodingResult"],
        "ridge": ["RidgeCV"],
        "scores": ["explained_variance", "pearson_r", "r2_over_ceiling", "r2_score"],
        "statistics": ["bootstrap_r", "fdr", "permutation_p"],
    },
)
