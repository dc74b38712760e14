"""``neuroai simulate``: run a network of spiking neurons, compare its rates with what is known, report."""

import math
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from neuroai.errors import ConfigError
from neuroai.runs import directory
from neuroai.runs.analysis import Outcome, carry_out, silent

if TYPE_CHECKING:
    from neuroai.report.page import Page
    from neuroai.runs.console import Progress
    from neuroai.simulation import Network, Simulation
    from neuroai_datasets import Recording

T = TypeVar("T")

#: Options of each reference network beside scale and seed, with the type of a word of the command line.
OPTIONS: dict[str, dict[str, Callable[[str], Any]]] = {
    "potjans-diesmann": {"drive": str},
    "brunel": {"g": float, "eta": float, "synapse": str, "reset": float},
    "vogels-abbott": {"kind": str, "form": str},
    "plastic": {"in_degree": float},
    "multi-area": {"areas": int},
}
_DISCARD = 0.5
_TOLD = (
    "Network '{name}': {neurons:,} neurons, {synapses:,} synapses, steps of {step} ms, seed {seed}, device "
    "{device}{exactly}. {time:g} s were simulated; statistics leave out the first {discard:g} s. CV: of the "
    "intervals of each neuron with three or more; it depends on the length of the run. Correlations: of "
    "spike counts in 2 ms between pairs of up to 250 neurons a population."
)


def simulate(
    network: "str | Network",
    *,
    scale: float | None = None,
    time: float = 1.0,
    discard: float | None = None,
    device: str = "cpu",
    seed: int = 0,
    deterministic: bool = False,
    distributed: bool = False,
    memory: str | int | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: "Progress | None" = None,
    **options: Any,
) -> directory.Run:
    """Simulate a network and write a run directory.

    Parameters
    ----------
    network : str or Network
        ``potjans-diesmann``, ``brunel``, ``vogels-abbott``, ``plastic``, ``multi-area``, or your own.
    scale : float, optional
        Of a reference network's size; 1 by default.
    time : float
        Simulated seconds.
    discard : float, optional
        Seconds that statistics leave out; default 0.5, at most a fifth of ``time``.
    device : str
        ``cpu`` or ``cuda``.
    seed : int
        Of a reference network's synapses, start and drive.
    deterministic : bool
        Sum in whole numbers: the same spikes on every device.
    distributed : bool
        Share the network among the processes that ``torchrun`` started, on CPUs or a card each; all return
        the run that the first writes.
    memory : str or int, optional
        Refuse to build what needs more.
    out : path, optional
        The run directory; default ``runs/simulate-NAME-DIGEST``.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.
    **options
        Of the reference network, such as ``drive="dc"`` or ``kind="coba", form="nest"``.

    Returns
    -------
    Run
        ``.summary`` holds ``rates_hz`` by population, ``real_time_factor`` (wall over simulated time, without
        building), ``build_seconds``, ``synapses``, ``bytes``, ``device``, ``seed``, ``statistics``, and
        ``reference`` with ``within_tolerance`` where rates are known. ``result.nc`` is the recording.

    Raises
    ------
    ConfigError
        For an unknown network, option or device.
    MemoryBudgetError
        If the network does not fit.

    Notes
    -----
    A run that was stopped goes on from its last checkpoint (one for 10 simulated seconds), with the same
    spikes. A run that exists with the same options is returned, not repeated.

    Examples
    --------
    >>> import tempfile
    >>> run = simulate("vogels-abbott", time=0.2, out=tempfile.mkdtemp() + "/run")
    >>> sorted(run.summary["rates_hz"]), run.summary["synapses"] > 300_000
    (['E', 'I'], True)
    """
    name = network if isinstance(network, str) else network.name
    if not 0 < time < float("inf"):
        raise ConfigError(f"time={time}: expected simulated seconds above 0")
    left_out = min(_DISCARD, time / 5) if discard is None else float(discard)
    if not 0 <= left_out < time:
        raise ConfigError(f"discard={discard}: expected 0 or more and less than time={time}")
    noticed: list[str] = []
    built: Any = network
    if isinstance(network, str):
        built = _noting(lambda: network_of(name, scale, seed, options), noticed)
    if time < built.dt:
        raise ConfigError(f"time={time}: expected at least a step of {name}, {built.dt:g} s")
    config = {
        "network": name,
        "scale": scale,
        "time": float(time),
        "discard": left_out,
        "device": device,
        "seed": built.seed,
        "deterministic": deterministic,
        "options": dict(options),
    }

    def advance(kept: Path) -> "tuple[Simulation, int, Recording]":
        from neuroai.simulation import Simulation

        simulation = Simulation(
            built,
            device=device,
            deterministic=deterministic,
            memory=memory,
            checkpoints=kept,
            distributed=distributed,
        )
        recording = _noting(lambda: simulation.run(time, progress=progress or silent), noticed)
        return simulation, simulation.n_synapses, recording

    def lead(announce: Callable[[Path], None]) -> directory.Run:
        def work(partial: Path) -> Outcome:
            kept = partial / directory.FOLDS / "checkpoints"
            announce(kept)
            return _outcome(*advance(kept), config, noticed)

        from neuroai.simulation.checkpoints import digest

        content = [digest(built.layout(), built.segments)]
        return carry_out("simulate", name, config, work, content=content, out=out)

    if not distributed:
        return lead(lambda kept: None)
    from neuroai.runs.ranks import on_ranks

    return on_ranks(device, lead, advance)


def _noting(work: Callable[[], T], noticed: list[str]) -> T:
    """Do the work; its warnings are also for the report."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = work()
    for warning in caught:
        noticed.append(str(warning.message))
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return result


def network_of(name: str, scale: float | None, seed: int, options: Mapping[str, Any]) -> "Network":
    """The reference network of a name."""
    from neuroai.simulation import models

    if name not in OPTIONS:
        raise ConfigError(f"unknown network {name!r}; there are: {', '.join(OPTIONS)}")
    unknown = set(options) - set(OPTIONS[name])
    if unknown:
        raise ConfigError(
            f"unknown option {min(unknown)!r} of {name}; options: scale, seed, {', '.join(OPTIONS[name])}"
        )
    chosen = {key: _option(key, value, OPTIONS[name][key]) for key, value in options.items()}
    size = 1.0 if scale is None else float(scale)
    if not 0 < size < float("inf"):
        raise ConfigError(f"scale={scale}: expected a size above 0, such as 0.1 for a tenth")
    if name == "brunel":
        return models.brunel(round(2500 * size), seed=seed, **chosen)
    if name == "potjans-diesmann":
        return models.potjans_diesmann(size, seed=seed, **chosen)
    if name in ("plastic", "multi-area"):
        make = models.plastic if name == "plastic" else models.multi_area
        return make(size, seed=seed, **chosen)
    if size != 1.0:
        raise ConfigError(f"scale={scale}: vogels-abbott has one size")
    return models.vogels_abbott(seed=seed, **chosen)


def _option(key: str, value: Any, kind: Callable[[str], Any]) -> Any:
    try:
        number = kind(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{key}={value!r}: {error}") from error
    if isinstance(number, float) and not math.isfinite(number):
        raise ConfigError(f"{key}={value!r}: expected a finite number")
    return number


def demo_simulation(
    *, out: str | os.PathLike[str] | None = None, seed: int = 0, progress: "Progress | None" = None
) -> directory.Run:
    """A tenth of the cortical microcircuit for 2.5 s: 7,717 neurons in eight populations."""
    target = Path(out) if out is not None else Path("runs") / "demo-simulate"
    return simulate("potjans-diesmann", scale=0.1, time=2.5, seed=seed, out=target, progress=progress)


def _outcome(
    simulation: "Simulation",
    n_synapses: int,
    recording: "Recording",
    config: dict[str, Any],
    noticed: list[str],
) -> Outcome:
    from neuroai.report.simulation import SimulationContent, simulation_page
    from neuroai.runs.toml_text import dumps
    from neuroai.simulation.statistics import firing, summarise

    found = firing(recording, start=config["discard"])
    statistics = summarise(found)
    rates = {name: float(one.rates.mean()) for name, one in found.items()}
    summary = {
        "network": config["network"],
        "time": config["time"],
        "rates_hz": rates,
        "real_time_factor": simulation.wall_seconds / config["time"],
        "build_seconds": simulation.build_seconds,
        "neurons": simulation.layout.n_neurons,
        "synapses": n_synapses,
        "bytes": simulation.engine.nbytes,
        "device": config["device"],
        "seed": config["seed"],
        "statistics": statistics,
        "reference": _reference(config, rates),
        "warnings": noticed,
    }
    told = _TOLD.format(
        name=config["network"],
        neurons=summary["neurons"],
        synapses=summary["synapses"],
        step=simulation.network.dt * 1e3,
        seed=config["seed"],
        device=config["device"],
        exactly=", sums in whole numbers" if config["deterministic"] else "",
        time=config["time"],
        discard=config["discard"],
    )

    def page(complete: Mapping[str, Any]) -> "Page":
        return simulation_page(SimulationContent(complete, recording, found, [told], dumps(config)))

    return Outcome(summary, [told], page, {"title": config["network"]}, tree=recording.tree)


def _reference(config: Mapping[str, Any], rates: Mapping[str, float]) -> dict[str, Any] | None:
    from neuroai.simulation.models.references import reference_rates

    options = dict(config["options"])
    if config["scale"] is not None:
        scale = config["scale"]
        options |= {"order": round(2500 * scale)} if config["network"] == "brunel" else {"scale": scale}
    found = reference_rates(config["network"], options)
    if found is None:
        return None
    deviation = {name: rates[name] / rate - 1 for name, rate in found.rates.items()}
    return {
        "source": found.source,
        "rates_hz": dict(found.rates),
        "tolerance": dict(found.tolerance),
        "deviation": deviation,
        "within_tolerance": all(abs(deviation[name]) <= found.tolerance[name] for name in deviation),
    }
