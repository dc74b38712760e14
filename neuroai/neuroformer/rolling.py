"""Rows that are generated in step: a token a row a time, on a GPU as one recorded graph."""

from typing import Any, cast

import torch
from torch import Tensor

from neuroai.neuroformer.batch import Batch
from neuroai.neuroformer.cache import Decoder
from neuroai.neuroformer.graphed import StaticDecoder
from neuroai.neuroformer.model import Neuroformer
from neuroai.neuroformer.sampling import Sampling, State, draw

__all__ = ["GraphedRoll", "Roll", "roll_of"]

_LONG_AGO = -(2**40)


class Roll:
    """Draw spikes of all rows, one a row a step.

    Parameters
    ----------
    model : Neuroformer
    batch : Batch
    rows : Tensor of int64 (n_rows,)
        Window of each row.
    how : Sampling
    generator : torch.Generator

    Attributes
    ----------
    done : Tensor of bool (n_rows,)
        Rows that have ended.
    """

    decoding: type[Decoder] = Decoder

    def __init__(
        self, model: Neuroformer, batch: Batch, rows: Tensor, how: Sampling, generator: torch.Generator
    ) -> None:
        self.model, self.how, self.generator, self.session = model, how, generator, batch.session
        self.n_units = model.config.sessions[batch.session]
        self.decoder = self.decoding(model, batch.session, model.sources(batch), rows)
        last = _last_spikes(model, batch)[rows] if how.refractory else None
        self.state = State(torch.full_like(rows, self.n_units), torch.zeros_like(rows), last)
        self.done = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)

    def step(self) -> tuple[Tensor, Tensor]:
        """Unit and bin of the next spike of each row, (n_rows,); unit N + 1 is the end, and all after it."""
        self.decoder.reserve()
        self._draw()
        return self.state.unit.clone(), self.state.bin.clone()

    def keep(self, rows: Tensor) -> None:
        """Go on with some rows only."""
        self.decoder.keep(rows)
        self.state, self.done = self.state.take(rows), self.done[rows]

    def _draw(self) -> None:
        """One step; what it changes it changes in place."""
        state, end = self.state, self.n_units + 1
        features = self.decoder.step(state.unit, state.bin)
        unit, bins = draw(self.model, features, self.session, state, self.how, self.generator)
        state.unit.copy_(torch.where(self.done, end, unit))
        state.bin.copy_(bins)
        self.done.copy_(state.unit == end)
        if state.last is not None:
            spike = state.unit < self.n_units
            where = torch.where(spike, state.unit, 0)[:, None]
            before = state.last.gather(1, where)
            state.last.scatter_(1, where, torch.where(spike[:, None], bins[:, None], before))


class GraphedRoll(Roll):
    """The same on a GPU, with a step recorded as a CUDA graph: some hundreds of launches otherwise.

    The first step runs as it comes. A step is recorded anew when shapes change: when rooms for keys and
    values grow, and when rows are given up, which is therefore done more rarely.
    """

    decoding = StaticDecoder

    def __init__(
        self, model: Neuroformer, batch: Batch, rows: Tensor, how: Sampling, generator: torch.Generator
    ) -> None:
        super().__init__(model, batch, rows, how, generator)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.fits = self.begun = False
        self.stream: Any = torch.cuda.Stream(rows.device)  # type: ignore[no-untyped-call]

    def step(self) -> tuple[Tensor, Tensor]:
        """Unit and bin of the next spike of each row, (n_rows,); unit N + 1 is the end, and all after it."""
        if not self.begun:
            self.begun = True
            return super().step()
        if self.decoder.reserve() or not self.fits:
            self.graph, self.fits = self._record(), True
        assert self.graph is not None
        self.graph.replay()
        return self.state.unit.clone(), self.state.bin.clone()

    def keep(self, rows: Tensor) -> None:
        """Go on with some rows only."""
        self.fits = False
        super().keep(rows)

    def _record(self) -> torch.cuda.CUDAGraph:
        """Record a step, in the memory of the one before, which is there until then; nothing runs."""
        graph: Any = torch.cuda.CUDAGraph()
        pool = () if self.graph is None else (self.graph.pool(),)
        graph.register_generator_state(self.generator)
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        with torch.cuda.stream(self.stream):
            # Not through torch.cuda.graph, which gives all cached memory back to the driver each time.
            graph.capture_begin(*pool)
            try:
                self._draw()
            finally:
                graph.capture_end()
        torch.cuda.current_stream(self.stream.device).wait_stream(self.stream)
        return cast("torch.cuda.CUDAGraph", graph)


def roll_of(padded: bool, device: torch.device) -> type[Roll]:
    """Graphs on a GPU; steps as they come elsewhere, and for the published model."""
    return GraphedRoll if device.type == "cuda" and not padded else Roll


def _last_spikes(model: Neuroformer, batch: Batch) -> Tensor:
    """Bin of each unit's last spike before the window, negative; (n_windows, n_units)."""
    n, past = model.config.sessions[batch.session], batch.past
    last = torch.full((len(batch), n), _LONG_AGO, device=past.unit.device)
    spike = past.unit < n
    cell = past.layout.window[spike] * n + past.unit[spike]
    bins = past.bin[spike] - model.config.past_bins
    return last.flatten().scatter_reduce(0, cell, bins, "amax").reshape(-1, n)
