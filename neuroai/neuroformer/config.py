"""What a Neuroformer is made of: sessions, windows, modalities, sizes. Plain numbers, JSON in and out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from neuroai.errors import ConfigError

__all__ = ["Modality", "NeuroformerConfig"]

Kind = Literal["series", "category", "video"]
Role = Literal["input", "target"]
Alignment = Literal["causal", "window"]


@dataclass(frozen=True)
class Modality:
    """One stream beside the spikes: behaviour or stimulus, read by the model or predicted by it.

    Attributes
    ----------
    name : str
        Name of the behaviour series; of a video, any name.
    kind : {"series", "category", "video"}
        Real numbers; whole numbers from 0 (a class each); frames.
    role : {"input", "target"}
    size : int
        Numbers a sample (series) or classes (category).
    samples : int
        Input: the newest ``samples`` values, ``period`` apart.
    period : float
        Seconds between them (between frames of a video).
    alignment : {"causal", "window"}
        Input ends at the start of the current window, so that no spike sees a value from after it
        ("causal"), or at the window's end.
    frame, patch, stride : tuple of int
        Video: (height, width) of a frame; (frames, height, width) of a patch and from patch to patch.
    layers, encoder_layers : int
        Video: cross-attention blocks that read it; self-attention blocks before.

    Raises
    ------
    ConfigError
        For an unknown kind or role, sizes below 1, a name with a dot, or patches that do not fit.

    Examples
    --------
    >>> Modality("wheel", size=1, samples=4, period=0.02).role
    'input'
    """

    name: str
    kind: Kind = "series"
    role: Role = "input"
    size: int = 1
    samples: int = 1
    period: float = 0.05
    alignment: Alignment = "causal"
    frame: tuple[int, int] = (0, 0)
    patch: tuple[int, int, int] = (1, 1, 1)
    stride: tuple[int, int, int] = (1, 1, 1)
    layers: int = 2
    encoder_layers: int = 2

    def __post_init__(self) -> None:
        if self.kind not in ("series", "category", "video") or self.role not in ("input", "target"):
            raise ConfigError(
                f"modality {self.name!r}: kind {self.kind!r}, role {self.role!r}: expected a series, "
                "category or video that is an input or a target"
            )
        if min(self.size, self.samples) < 1 or not self.period > 0 or "." in self.name or not self.name:
            raise ConfigError(
                f"modality {self.name!r}: size {self.size}, samples {self.samples}, period {self.period}: "
                "expected at least 1, 1, above 0 and a name without '.'"
            )
        if self.name in ("past", "behaviour") and self.kind == "video":
            raise ConfigError(f"a video cannot be called {self.name!r}")
        if self.kind == "video" and (self.role == "target" or min(self.n_patches) < 1):
            raise ConfigError(
                f"modality {self.name!r}: video is an input, and patches of {self.patch} must fit in "
                f"{self.samples} frames of {self.frame}"
            )

    @property
    def n_patches(self) -> tuple[int, int, int]:
        """Patches along time, height and width."""
        volume = (self.samples, *self.frame)
        t, h, w = ((v - p) // s + 1 for v, p, s in zip(volume, self.patch, self.stride, strict=True))
        return t, h, w


#: Seconds; spike times are compared in whole nanoseconds.
_SHORTEST_BIN = 1e-6
_STACKS = ("encoder_layers", "past_layers", "behaviour_layers", "output_layers")


@dataclass(frozen=True)
class NeuroformerConfig:
    """Sizes and options of a :class:`~neuroai.neuroformer.Neuroformer`.

    Attributes
    ----------
    sessions : mapping of str to int
        Units of each session; units are embedded session by session.
    bin_width, window, past : float
        Seconds: time bin of a spike, current window ``[t - window, t)``, and the window before it.
    modalities : tuple of Modality
    width, heads : int
        Channels, attention heads.
    encoder_layers, past_layers, behaviour_layers, output_layers : int
        Causal self-attention before the fusion, cross-attention to past spikes and to behaviour (all series
        and categories together), causal self-attention after.
    dropout : float
    readout : {"intensity", "categorical"}
        How the next spike is predicted: conditional intensities of all units and bins (the default, an exact
        point-process likelihood), or a softmax over units beside one over bins (the published form).
    max_spikes, max_past_spikes : int, optional
        Keep the last spikes only; default all.
    padded : bool
        Published formulation: windows padded to ``max_spikes + 2`` tokens, padding attended, attention maps
        stored. Otherwise padding exists nowhere.
    amplitudes : bool
        Tokens carry an amplitude (calcium events), read and predicted.
    contrastive : tuple of str
        Videos by name, or ``"behaviour"``: their pooled features are aligned with the spikes' and with each
        other's.
    contrastive_weight, temperature : float
    symmetric : bool
        Contrastive loss in both directions.
    rate_weight : float
        Weight of the counts one bin ahead in the loss of the intensity readout; 0 leaves their readout out.
    unit_weight, bin_weight : float
        Weights of the two cross-entropies of the categorical readout.

    Raises
    ------
    ConfigError
        For a window or past that is not whole bins, a width that heads do not divide, or another option out
        of range.

    Examples
    --------
    >>> config = NeuroformerConfig(sessions={"a": 30}, window=0.05)
    >>> config.window_bins, config == NeuroformerConfig.from_dict(config.to_dict())
    (5, True)
    """

    sessions: Mapping[str, int] = field(default_factory=dict)
    bin_width: float = 0.01
    window: float = 0.05
    past: float = 0.25
    modalities: tuple[Modality, ...] = ()
    width: int = 128
    heads: int = 4
    encoder_layers: int = 2
    past_layers: int = 2
    behaviour_layers: int = 2
    output_layers: int = 2
    dropout: float = 0.1
    readout: Literal["intensity", "categorical"] = "intensity"
    max_spikes: int | None = None
    max_past_spikes: int | None = None
    padded: bool = False
    amplitudes: bool = False
    contrastive: tuple[str, ...] = ()
    contrastive_weight: float = 0.25
    temperature: float = 0.5
    symmetric: bool = True
    rate_weight: float = 1.0
    unit_weight: float = 0.6
    bin_weight: float = 0.4

    def __post_init__(self) -> None:
        if not _SHORTEST_BIN <= self.bin_width < math.inf:
            raise ConfigError(f"bin_width = {self.bin_width} s: expected {_SHORTEST_BIN} s or more")
        for name in ("window", "past"):
            self._bins(name)
        depths = {name: getattr(self, name) for name in _STACKS if getattr(self, name) < 0}
        if depths:
            raise ConfigError(f"found {depths}: expected 0 or more layers")
        if self.width % self.heads or min(self.width, self.heads) < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"width {self.width}, heads {self.heads}, dropout {self.dropout}: expected heads that divide "
                "the width and a dropout of 0 to 1"
            )
        if self.padded and (self.max_spikes is None or self.max_past_spikes is None):
            raise ConfigError("padded windows need max_spikes and max_past_spikes")
        if self.padded and self.readout != "categorical":
            raise ConfigError("padded windows are the published formulation: readout='categorical'")
        for name, n_units in self.sessions.items():
            if n_units < 1 or "." in name or not name:
                raise ConfigError(
                    f"session {name!r} with {n_units} units: expected a name without '.', 1 unit"
                )
        names = [(m.name, m.role) for m in self.modalities]
        if len(set(names)) < len(names):
            raise ConfigError(f"modalities {names}: a name appears twice in one role")
        if missing := set(self.contrastive) - set(self.sources):
            raise ConfigError(
                f"contrastive {sorted(missing)}: the model reads {', '.join(self.sources) or 'none'}"
            )

    @property
    def inputs(self) -> tuple[Modality, ...]:
        """Modalities the model reads."""
        return tuple(m for m in self.modalities if m.role == "input")

    @property
    def targets(self) -> tuple[Modality, ...]:
        """Modalities the model predicts."""
        return tuple(m for m in self.modalities if m.role == "target")

    @property
    def sources(self) -> tuple[str, ...]:
        """What is read beside the spikes: each video, and ``"behaviour"``."""
        videos = tuple(m.name for m in self.inputs if m.kind == "video")
        return (*videos, "behaviour") if len(videos) < len(self.inputs) else videos

    @property
    def window_bins(self) -> int:
        """Bins of the current window."""
        return self._bins("window")

    @property
    def past_bins(self) -> int:
        """Bins of the window before it."""
        return self._bins("past")

    @property
    def n_symbols(self) -> int:
        """Time symbols 0, 1, ... of the categorical readout, without SOS, EOS and PAD."""
        return max(self.window_bins, self.past_bins) + 1

    def _bins(self, name: str) -> int:
        seconds = getattr(self, name)
        bins = round(seconds / self.bin_width) if math.isfinite(seconds) else 0
        if bins < (1 if name == "window" else 0) or not math.isclose(
            bins * self.bin_width, seconds, rel_tol=1e-6
        ):
            raise ConfigError(f"{name} = {seconds} s is not a whole number of bins of {self.bin_width} s")
        return bins

    def with_session(self, name: str, n_units: int) -> "NeuroformerConfig":
        """Return a copy that knows one more session."""
        return replace(self, sessions={**self.sessions, name: n_units})

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; :meth:`from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "NeuroformerConfig":
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        ConfigError
            For an unknown or missing key.
        """
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ConfigError(
                f"unknown options {sorted(unknown)} of a Neuroformer: written by a newer version?"
            )
        try:
            modalities = tuple(_modality(m) for m in values.get("modalities", ()))
            contrastive = tuple(values.get("contrastive", ()))
            return cls(**{**values, "modalities": modalities, "contrastive": contrastive})
        except TypeError as error:
            raise ConfigError(f"options of a Neuroformer cannot be read: {error}") from error

    @classmethod
    def compatibility(
        cls,
        n_units: int,
        video: bool = False,
        behaviour: Sequence[str] = (),
        contrastive: bool | None = None,
    ) -> "NeuroformerConfig":
        """Return the published model: same parameter counts, padding, losses and initialisation.

        Parameters
        ----------
        n_units : int
        video : bool
            Three frames of 30 x 100 at 20 Hz.
        behaviour : sequence of str
            Scalars at 20 Hz, each read and predicted.
        contrastive : bool, optional
            Align spikes and video; default: with video and without behaviour.

        Notes
        -----
        Antoniades et al. (2024), released configurations: 14,698,240 parameters for 386 units; 25,105,152 for
        2,023 units with video; 28,203,023 with three behaviours.
        """
        aligned = video and not behaviour if contrastive is None else contrastive
        modalities = [_public_video()] if video else []
        modalities += [Modality(b, alignment="window") for b in behaviour]
        modalities += [Modality(b, role="target") for b in behaviour]
        # The released loss always carries a factor 1 - 1/4, with the contrastive term on or off.
        return cls(
            sessions={"session": n_units},
            past=0.05,
            modalities=tuple(modalities),
            width=256,
            heads=8,
            encoder_layers=6,
            past_layers=6,
            behaviour_layers=4,
            output_layers=6,
            dropout=0.2,
            readout="categorical",
            max_spikes=98,
            max_past_spikes=698,
            padded=True,
            contrastive=("video",) if aligned else (),
            symmetric=False,
            unit_weight=0.45,
            bin_weight=0.30,
        )


def _modality(values: Mapping[str, Any]) -> Modality:
    """Modality of what JSON holds: lists for tuples."""
    restored: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return Modality(**restored)


def _public_video() -> Modality:
    return Modality(
        "video",
        kind="video",
        samples=3,
        alignment="window",
        frame=(30, 100),
        patch=(3, 5, 5),
        stride=(3, 5, 5),
        layers=6,
        encoder_layers=6,
    )
