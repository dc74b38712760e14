"""Published networks on one CPU thread: ours against Brian 2 (C++ standalone) and NEST, in the same run.

    python benchmarks/simulation_cpu_peers.py --peers-python PEERS/bin/python
    python benchmarks/simulation_cpu_peers.py --networks potjans-diesmann-full

``PEERS`` is an environment with `brian2` and `nest-simulator`, and g++ on the path for Brian. Each figure
comes from a fresh process on one thread and is CPU seconds a simulated second after a warm-up, spikes
recorded; building and compiling are apart. Brian's binary is run for two durations, and the difference
counts, so that its synapse generation does not. No time is printed
unless the rates of both engines are within the tolerances of `neuroai.simulation.models.references` (twice
those for Vogels and Abbott's chaotic networks, whose seeds differ by several per cent; seeds that die out
are run again with the next).
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
# Name: our name and options, peer, seconds of warm-up and of measurement.
NETWORKS: dict[str, tuple[str, dict[str, Any], str | None, float, float]] = {
    "cuba-brian": ("vogels-abbott", {"kind": "cuba", "form": "brian"}, "brian", 0.1, 1.0),
    "coba-brian": ("vogels-abbott", {"kind": "coba", "form": "brian"}, "brian", 0.1, 1.0),
    "cuba-nest": ("vogels-abbott", {"kind": "cuba", "form": "nest"}, "nest", 0.1, 1.0),
    "coba-nest": ("vogels-abbott", {"kind": "coba", "form": "nest"}, "nest", 0.1, 1.0),
    "brunel-delta": ("brunel", {"synapse": "delta"}, "nest", 0.2, 0.5),
    "potjans-diesmann-0.1": ("potjans-diesmann", {"scale": 0.1}, "nest", 0.5, 2.0),
    "potjans-diesmann-full": ("potjans-diesmann", {"scale": 1.0, "drive": "dc"}, None, 0.5, 1.0),
}
# Seconds a simulated second to stay below.
GOALS = {
    "cuba-brian": 0.074, "coba-brian": 0.30, "brunel-delta": 5.0,
    "potjans-diesmann-0.1": 1.35, "potjans-diesmann-full": 10.0,
}  # fmt: skip
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def network(name: str, seed: int) -> Any:
    from neuroai.simulation import models

    ours, options = NETWORKS[name][:2]
    return getattr(models, ours.replace("-", "_"))(seed=seed, **options)


def run_ours(name: str, seed: int) -> dict[str, Any]:
    started = time.process_time()
    simulation = network(name, seed).simulation()
    build = time.process_time() - started
    warm, measured = NETWORKS[name][3:]
    simulation.run(warm)
    started = time.process_time()
    recording = simulation.run(measured)
    used = time.process_time() - started
    names = recording.units["population"].values
    counts = recording.spikes.counts
    rates = {p: float(counts[names == p].mean() / measured) for p in dict.fromkeys(names.tolist())}
    return {"rates": rates, "build_cpu_seconds": build, "cpu_seconds": used / measured}


def run_nest(name: str, seed: int) -> dict[str, Any]:
    import nest

    nest.set_verbosity("M_ERROR")
    nest.SetKernelStatus({"local_num_threads": 1, "resolution": 0.1, "rng_seed": seed + 1})
    started = time.process_time()
    populations = (nest_microcircuit if "potjans" in name else nest_two_populations)(nest, name)
    recorders = {}
    for population, nodes in populations.items():
        recorders[population] = nest.Create("spike_recorder")
        nest.Connect(nodes, recorders[population])
    nest.Prepare()
    build = time.process_time() - started
    warm, measured = NETWORKS[name][3:]
    nest.Run(warm * 1e3)
    before = {p: r.n_events for p, r in recorders.items()}
    started = time.process_time()
    nest.Run(measured * 1e3)
    used = time.process_time() - started
    rates = {p: (r.n_events - before[p]) / len(populations[p]) / measured for p, r in recorders.items()}
    return {"rates": rates, "build_cpu_seconds": build, "cpu_seconds": used / measured}


def nest_two_populations(nest: Any, name: str) -> dict[str, Any]:
    """Vogels and Abbott's networks in NEST's form, and Brunel's."""
    if name == "brunel-delta":
        model = {
            "C_m": 250.0,
            "tau_m": 20.0,
            "V_th": 20.0,
            "E_L": 0.0,
            "V_reset": 0.0,
            "V_m": 0.0,
            "t_ref": 2.0,
        }
        nodes = {p: nest.Create("iaf_psc_delta", n, model) for p, n in (("E", 10_000), ("I", 2500))}
        degrees, weights, delay = {"E": 1000, "I": 250}, {"E": 0.1, "I": -0.5}, 1.5
        drive = nest.Create("poisson_generator", params={"rate": 20_000.0})
        for population in nodes.values():
            nest.Connect(drive, population, syn_spec={"weight": 0.1, "delay": 1.5})
    else:
        common = {
            "C_m": 200.0,
            "V_th": -50.0,
            "V_reset": -60.0,
            "t_ref": 5.0,
            "tau_syn_ex": 5.0,
            "tau_syn_in": 10.0,
        }
        if name == "cuba-nest":
            kind, own = "iaf_psc_exp", {"tau_m": 20.0, "E_L": -49.0, "V_m": -49.0}
            weights = {"E": 16.2, "I": -139.5}
        else:
            kind, own = "iaf_cond_exp", {"g_L": 10.0, "E_L": -60.0, "E_ex": 0.0, "E_in": -80.0, "V_m": -60.0}
            weights = {"E": 6.0, "I": -67.0}
        nodes = {p: nest.Create(kind, n, common | own) for p, n in (("E", 3200), ("I", 800))}
        degrees, delay = {"E": 64, "I": 16}, 0.1
        kick = nest.Create("poisson_generator", params={"rate": 300.0, "start": 1.0, "stop": 51.0})
        nest.Connect(kick, nodes["E"][:50], syn_spec={"weight": weights["E"], "delay": 0.1})
    for source in nodes:
        for target in nodes:
            rule = {"rule": "fixed_indegree", "indegree": degrees[source]}
            synapse = {"weight": weights[source], "delay": delay}
            nest.Connect(nodes[source], nodes[target], rule, synapse)
    return nodes


def nest_microcircuit(nest: Any, name: str) -> dict[str, Any]:
    """The microcircuit from the numbers that our declaration holds, handed over as JSON on stdin."""
    given = json.loads(sys.stdin.read())
    nodes = {}
    for p in given["populations"]:
        model = {
            "C_m": 250.0, "tau_m": 10.0, "E_L": -65.0, "V_th": -50.0, "V_reset": -65.0, "t_ref": 2.0,
            "tau_syn_ex": 0.5, "tau_syn_in": 0.5, "I_e": p["current"],
        }  # fmt: skip
        nodes[p["name"]] = nest.Create("iaf_psc_exp", p["size"], model)
        nodes[p["name"]].V_m = nest.random.normal(*p["start"])
        drive = nest.Create("poisson_generator", params={"rate": p["rate"]})
        nest.Connect(drive, nodes[p["name"]], syn_spec={"weight": p["weight"], "delay": 1.5})
    for s in given["projections"]:
        low, high = (-np.inf, 0.0) if s["weight"][0] < 0 else (0.0, np.inf)
        weight = nest.math.redraw(nest.random.normal(*s["weight"]), min=low, max=high)
        delay = nest.math.redraw(nest.random.normal(*s["delay"]), min=0.1, max=6.3)
        rule = {"rule": "fixed_total_number", "N": s["total"]}
        nest.Connect(nodes[s["source"]], nodes[s["target"]], rule, {"weight": weight, "delay": delay})
    return nodes


def microcircuit_numbers(name: str) -> str:
    net = network(name, 0)
    populations = [
        {
            "name": p.name, "size": p.size, "current": p.current, "rate": p.drive.rate,
            "weight": p.drive.weight, "start": [p.initial["v"].mean, p.initial["v"].sd],
        }
        for p in net.populations
    ]  # fmt: skip
    projections = [
        {
            "source": s.source, "target": s.target, "total": s.rule.total,
            "weight": [s.weight.mean, s.weight.sd], "delay": [s.delay.mean * 1e3, s.delay.sd * 1e3],
        }
        for s in net.projections
    ]  # fmt: skip
    return json.dumps({"populations": populations, "projections": projections})


def run_brian(name: str, seed: int) -> dict[str, Any]:
    warm, measured = NETWORKS[name][3:]
    short, long = (brian_binary(name, seed, duration) for duration in (warm, warm + measured))
    return {
        "rates": long["rates"],
        "build_cpu_seconds": short["compile"],
        "cpu_seconds": (long["run"] - short["run"]) / measured,
    }


def children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def brian_binary(name: str, seed: int, duration: float) -> dict[str, Any]:
    """Compile and run; CPU seconds of each, the run at the better of three."""
    import brian2 as b

    folder = tempfile.mkdtemp()
    b.set_device("cpp_standalone", build_on_run=False, directory=folder)
    b.device.reinit()
    b.device.activate(build_on_run=False, directory=folder)
    b.seed(seed)
    monitor = brian_network(b, name, duration)
    started = time.process_time() + children_cpu()
    b.device.build(directory=folder, compile=True, run=False)
    compiled = time.process_time() + children_cpu() - started
    used = []
    for _ in range(3):
        started = children_cpu()
        b.device.run(folder, with_output=False, run_args=[])
        used.append(children_cpu() - started)
    times, neurons = np.asarray(monitor.t / b.second), np.asarray(monitor.i)
    late = times >= NETWORKS[name][3]
    rates = {
        p: float((late & inside).sum() / n / max(duration - NETWORKS[name][3], 1e-9))
        for p, n, inside in (("E", 3200, neurons < 3200), ("I", 800, neurons >= 3200))
    }
    return {"rates": rates, "compile": compiled, "run": min(used)}


def brian_network(b: Any, name: str, duration: float) -> Any:
    """The CUBA and COBA examples of Brian's documentation."""
    mv, ms, ns = b.mV, b.ms, b.nS
    if name == "cuba-brian":
        equations = """dv/dt = (ge + gi - (v + 49*mV)) / (20*ms) : volt (unless refractory)
        dge/dt = -ge / (5*ms) : volt
        dgi/dt = -gi / (10*ms) : volt"""
        method, up, down = "exact", "ge += 1.62*mV", "gi -= 9*mV"
    else:
        equations = """dv/dt = (I + 10*nS*(-60*mV - v)) / (200*pF) : volt (unless refractory)
        I = ge*(0*mV - v) + gi*(-80*mV - v) : amp
        dge/dt = -ge / (5*ms) : siemens
        dgi/dt = -gi / (10*ms) : siemens"""
        method, up, down = "exponential_euler", "ge += 6*nS", "gi += 67*nS"
    group = b.NeuronGroup(
        4000, equations, threshold="v > -50*mV", reset="v = -60*mV", refractory=5 * ms, method=method
    )
    group.v = "-60*mV + rand() * 10*mV"
    if name == "coba-brian":
        group.ge, group.gi = "(randn() * 1.5 + 4) * 10*nS", "(randn() * 12 + 20) * 10*nS"
    excitatory, inhibitory = (
        b.Synapses(group[:3200], group, on_pre=up),
        b.Synapses(group[3200:], group, on_pre=down),
    )
    excitatory.connect(p=0.02)
    inhibitory.connect(p=0.02)
    monitor = b.SpikeMonitor(group)
    whole = b.Network(group, excitatory, inhibitory, monitor)
    whole.run(duration * b.second, namespace={"mV": mv, "ms": ms, "nS": ns, "pF": b.pF})
    return monitor


WORKERS = {"ours": run_ours, "nest": run_nest, "brian": run_brian}


def in_process(python: str, engine: str, name: str, seed: int) -> dict[str, Any]:
    environment = os.environ | dict.fromkeys(THREADS, "1")
    given = microcircuit_numbers(name) if engine == "nest" and "potjans" in name else ""
    command = [python, __file__, "--worker", engine, name, str(seed)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{engine} {name} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def alive(python: str, engine: str, name: str) -> dict[str, Any]:
    """The first of four seeds whose network did not die out."""
    for seed in range(4):
        found = in_process(python, engine, name, seed) | {"seed": seed}
        if found["rates"].get("E", 2.0) > 1.0:  # other networks have no population E, and do not die
            return found
    raise SystemExit(f"{engine} {name}: four networks died out")


def gate(name: str, engine: str, rates: dict[str, float]) -> None:
    from neuroai.simulation.models.references import reference_rates

    reference = reference_rates(*NETWORKS[name][:2])
    assert reference is not None
    wide = 2.0 if "vogels" in NETWORKS[name][0] else 1.0
    for population, rate in reference.rates.items():
        off = rates[population] / rate - 1
        if abs(off) > wide * reference.tolerance[population]:
            raise SystemExit(
                f"{name}: {engine} fires at {rates[population]:.3f} Hz in {population}, known {rate:.3f}"
            )


def cold_start() -> dict[str, float]:
    """From import to the first step with nothing compiled, and again with everything in the cache."""
    code = (
        "import time; t = time.perf_counter(); from neuroai.simulation.models import vogels_abbott;"
        "vogels_abbott().simulation().step(); print(time.perf_counter() - t, time.process_time())"
    )
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | dict.fromkeys(THREADS, "1") | {"NUMBA_CACHE_DIR": cache}
        found: dict[str, Any] = {}
        for state in ("cold", "warm"):
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
            )
            wall, cpu = (float(word) for word in done.stdout.split())
            found |= {f"{state}_wall_seconds": wall, f"{state}_cpu_seconds": cpu}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS)[:-1], choices=list(NETWORKS))
    parser.add_argument("--out", default=str(RESULTS / "simulation_cpu_peers.json"))
    parser.add_argument("--cold", action="store_true", help="also measure the start without a cache")
    parser.add_argument("--worker", nargs=3, metavar=("ENGINE", "NETWORK", "SEED"))
    chosen = parser.parse_args()
    if chosen.worker:
        engine, name, seed = chosen.worker
        found = WORKERS[engine](name, int(seed))
        # The process' own; ru_maxrss starts at what its parent held.
        status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        found["peak_mb"] = next(int(line.split()[1]) for line in status if "VmHWM" in line) * 1024 / 1e6
        print(json.dumps(found))
        return
    out = Path(chosen.out)
    results = json.loads(out.read_text()) if out.exists() else {"networks": {}}
    results |= {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": 1}
    results |= {"python": platform.python_version(), "script": Path(__file__).name}
    for name in chosen.networks:
        peer = NETWORKS[name][2]
        found = {"ours": alive(sys.executable, "ours", name)}
        if peer is not None:
            found[peer] = alive(chosen.peers_python, peer, name)
        for engine, one in found.items():
            gate(name, engine, one["rates"])
        results["networks"][name] = found | {"goal_cpu_seconds": GOALS.get(name)}
        report(name, found)
        out.write_text(json.dumps(results, indent=1) + "\n")
    if chosen.cold:
        results["start"] = cold_start()
        print(results["start"])
        out.write_text(json.dumps(results, indent=1) + "\n")


def report(name: str, found: dict[str, Any]) -> None:
    goal = GOALS.get(name)
    told = f" (goal {goal})" if goal else ""
    for engine, one in found.items():
        rates = ", ".join(f"{rate:.2f}" for rate in one["rates"].values())
        print(
            f"{name:24} {engine:6} {one['cpu_seconds']:8.3f} CPU s a simulated s"
            f"{told if engine == 'ours' else ''}, build {one['build_cpu_seconds']:.1f} CPU s, "
            f"{one['peak_mb']:.0f} MB; Hz {rates}",
            flush=True,
        )


if __name__ == "__main__":
    main()
