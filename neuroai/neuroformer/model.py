"""The Neuroformer: a transformer that predicts the next spike from spikes, stimulus and behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy.typing as npt
import torch
from torch import Tensor, nn

from neuroai.errors import ConfigError
from neuroai.neuroformer.alignment_loss import contrastive_pairs
from neuroai.neuroformer.batch import Batch
from neuroai.neuroformer.blocks import Block, Source
from neuroai.neuroformer.categorical import CategoricalReadout
from neuroai.neuroformer.config import Modality, NeuroformerConfig
from neuroai.neuroformer.embeddings import Frames, SpikeEmbedding, Units, Values
from neuroai.neuroformer.heads import Head
from neuroai.neuroformer.intensity import IntensityReadout
from neuroai.neuroformer.layout import Layout

__all__ = ["Features", "Neuroformer"]


@dataclass(frozen=True)
class Features:
    """What the model makes of a batch.

    Attributes
    ----------
    tokens : Tensor (n_tokens, width)
        At each token of the current windows, of what came up to it.
    pooled : Tensor (n_windows, width)
        Their mean.
    sources : mapping of str to Source
        Encoded inputs: ``past`` and each modality.
    """

    tokens: Tensor
    pooled: Tensor
    sources: Mapping[str, Source]


class Neuroformer(nn.Module):
    """Generative transformer over spikes.

    Causal self-attention over the spikes of the current window; cross-attention to the spikes of the window
    before, then to each input modality; causal self-attention again; a readout of the next spike, and heads
    on the mean for behaviour.

    Parameters
    ----------
    config : NeuroformerConfig
    seed : int
        Of the initial weights: N(0, 0.02) for linear maps and embeddings.

    Notes
    -----
    About ``12 width^2`` parameters a block. A token costs two operations a parameter forwards, four
    backwards; attention adds ``4 width`` times the tokens it sees. Padding exists nowhere unless
    ``config.padded``.

    References
    ----------
    Antoniades, Yu, Canzano, Wang, Smith (2024), "Neuroformer", ICLR. The intensity readout, packed windows,
    tied session-wise unit embeddings and causal alignment are this project's.

    Examples
    --------
    >>> from neuroai.datasets import simulate_spikes
    >>> model = Neuroformer(NeuroformerConfig(sessions={"a": 5}, width=16, heads=2))
    >>> losses = model(model.windows(simulate_spikes(5, 10.0))[[0, 1]])
    >>> sorted(losses)
    ['loss', 'rates', 'spikes']
    """

    def __init__(self, config: NeuroformerConfig, *, seed: int = 0) -> None:
        super().__init__()
        if not config.sessions:
            raise ConfigError("a model needs a session: NeuroformerConfig(sessions={name: n_units})")
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build(config)
            self.apply(_start)
            if isinstance(self.readout, IntensityReadout):
                self.readout.start()

    def _build(self, config: NeuroformerConfig) -> None:
        width = config.width
        self.units = Units(config.sessions, width)
        self.embed = SpikeEmbedding(config, config.window_bins, (config.max_spikes or 0) + 2)
        self.embed_past = SpikeEmbedding(config, config.past_bins, (config.max_past_spikes or 0) + 2)
        self.encoder = self._stack(config.encoder_layers)
        self.past = self._stack(config.past_layers)
        self.inputs = nn.ModuleDict({m.name: _input(m, config) for m in config.inputs})
        self.input_encoder = nn.ModuleDict(
            {m.name: self._stack(m.encoder_layers) for m in config.inputs if m.kind == "video"}
        )
        layers = {m.name: m.layers for m in config.inputs} | {"behaviour": config.behaviour_layers}
        self.fusion = nn.ModuleDict({name: self._stack(layers[name]) for name in config.sources})
        self.output = self._stack(config.output_layers)
        categorical = config.readout == "categorical"
        self.readout = CategoricalReadout(config) if categorical else IntensityReadout(config)
        self.heads = nn.ModuleDict({m.name: Head(m, width) for m in config.targets})
        self.project = nn.Linear(width, width, bias=False) if config.contrastive else None
        if config.padded:
            # The published model carries a final norm that it never applies; checkpoints count it.
            self.unused_norm = nn.LayerNorm(width)

    def _stack(self, n: int) -> nn.ModuleList:
        c = self.config
        return nn.ModuleList(Block(c.width, c.heads, c.dropout, stored=c.padded) for _ in range(n))

    @property
    def n_parameters(self) -> int:
        """Trainable numbers."""
        return sum(p.numel() for p in self.parameters())

    def windows(self, recording: Any, **options: Any) -> Any:
        """Cut a recording for this model; see :func:`~neuroai.neuroformer.windows.windows_of`."""
        from neuroai.neuroformer.windows import windows_of

        return windows_of(recording, self.config, **options)

    def encode(self, batch: Batch) -> Features:
        """Features of every token of the current windows."""
        x, layout = self.embed(self.units, batch.session, batch.current), batch.current.layout
        for block in self.encoder:
            x = block(x, layout, causal=True)
        sources = self.sources(batch)
        for name, stack in self.cross_stacks():
            for block in stack:
                x = block(x, layout, sources[name])
        for block in self.output:
            x = block(x, layout, causal=True)
        return Features(x, layout.mean(x), sources)

    def cross_stacks(self) -> list[tuple[str, nn.ModuleList]]:
        """Cross-attention stacks in order of use, by the source they read."""
        return [("past", self.past), *cast("list[tuple[str, nn.ModuleList]]", list(self.fusion.items()))]

    def sources(self, batch: Batch) -> dict[str, Source]:
        """Past spikes and inputs, embedded and encoded; all behaviour is one source."""
        past = self.embed_past(self.units, batch.session, batch.past)
        found, behaviour = {"past": Source(past, batch.past.layout)}, []
        for name, module in self.inputs.items():
            if isinstance(module, Frames):
                tokens, layout = module(batch.inputs[name], self.units.symbols[0])
                for block in cast("nn.ModuleList", self.input_encoder[name]):
                    tokens = block(tokens, layout)
                found[name] = Source(tokens, layout)
            else:
                behaviour.append(module(batch.inputs[name]))
        if behaviour:
            tokens = torch.cat(behaviour, dim=1)
            layout = Layout.even(len(tokens), tokens.shape[1], tokens.device)
            found["behaviour"] = Source(tokens.flatten(0, 1), layout)
        return found

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of a batch: ``loss`` is the sum of the others.

        ``spikes`` and ``rates`` (nats a token; or ``unit`` and ``bin``, weighted), ``amplitude``,
        ``contrastive`` (weighted), and the loss of each behaviour by name.
        """
        features = self.encode(batch)
        parts: dict[str, Tensor] = self.readout.losses(features.tokens, batch, self.units)
        if self.project is not None:
            parts["contrastive"] = self.config.contrastive_weight * self._aligned(features, batch.recorded)
        for name, head in self.heads.items():
            parts[name] = cast("Head", head).loss(features.pooled, batch.targets[name])
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def _aligned(self, features: Features, counted: Tensor | None) -> Tensor:
        assert self.project is not None
        pooled = {"id": features.pooled}
        pooled |= {
            n: s.layout.mean(s.tokens) for n, s in features.sources.items() if n in self.config.contrastive
        }
        projected = {name: self.project(x) for name, x in pooled.items()}
        temperature, symmetric = self.config.temperature, self.config.symmetric
        return contrastive_pairs(projected, temperature, symmetric=symmetric, counted=counted)

    def generate(self, source: Any, **options: Any) -> Any:
        """Generate spikes; see :func:`neuroai.neuroformer.generation.generate`."""
        from neuroai.neuroformer.generation import generate

        return generate(self, source, **options)

    @torch.no_grad()
    def decode(self, batch: Batch) -> dict[str, Tensor]:
        """Predict each behaviour: values (n_windows, size) in their units, or class probabilities."""
        pooled = self.encode(batch).pooled
        out = {}
        for name, head in self.heads.items():
            value = head(pooled)
            out[name] = value.softmax(-1) if head.classes else value
        return out

    def add_session(self, name: str, n_units: int) -> None:
        """Extend to the units of one more session; all other weights are shared.

        Parameters
        ----------
        name : str
            Without dots.
        n_units : int

        Raises
        ------
        ConfigError
            If the model has a session of that name.
        """
        if name in self.config.sessions:
            raise ConfigError(f"the model has a session {name!r} already")
        self.config = self.config.with_session(name, n_units)
        self.units.add(name, n_units)
        self.readout.add(name, n_units)

    def add_target(self, modality: Modality, *, seed: int = 0) -> None:
        """Add a head for one more behaviour, as fine-tuning after pretraining does.

        Parameters
        ----------
        modality : Modality
            With ``role="target"``.
        seed : int
            Of the head's initial weights.

        Raises
        ------
        ConfigError
            If it is no target, or the model predicts one of that name.
        """
        if modality.role != "target":
            raise ConfigError(f"modality {modality.name!r} is an {modality.role}: role='target' for a head")
        self.config = replace(self.config, modalities=(*self.config.modalities, modality))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = Head(modality, self.config.width).apply(_start)
        self.heads[modality.name] = head.to(self.units.symbols.device)

    def set_rates(self, session: str, counts_per_bin: npt.ArrayLike) -> None:
        """Start the intensities of a session at its units' mean counts a bin; no effect on softmax readouts.

        Parameters
        ----------
        session : str
        counts_per_bin : array-like (n_units,)
        """
        if isinstance(self.readout, IntensityReadout):
            self.readout.set_rates(session, torch.as_tensor(counts_per_bin, dtype=torch.float32))

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write ``model.safetensors`` and ``config.json``, each complete or not at all.

        Parameters
        ----------
        folder : path
            Made if it is not there.

        Returns
        -------
        Path
            The folder.
        """
        from neuroai.neuroformer.pretrained import save

        return save(self, Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "Neuroformer":
        """Read what :meth:`save_pretrained` wrote; further heads are added with :meth:`add_target`.

        Raises
        ------
        CheckpointError
            If a file is missing or damaged, or weights do not fit the configuration.
        """
        from neuroai.neuroformer.pretrained import load

        return load(Path(folder))


def _input(modality: Modality, config: NeuroformerConfig) -> nn.Module:
    if modality.kind == "video":
        return Frames(modality, config.width, placed=not config.padded)
    return Values(modality, config.width, published=config.padded)


def _start(module: nn.Module) -> None:
    """Initial weights of the published model."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
