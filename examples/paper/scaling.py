"""How training speeds up with more workers: run `train.py` on 1, 2, ... workers of this machine, or read their logs.

It writes scaling.csv and pictures: samples per second with their standard deviation, weak-scaling efficiency, accuracy
against runtime, and what a Bayesian network costs beside the same CNN.

Examples:
  python examples/paper/scaling.py --model bnn_fc --workers 1,2,4 --out runs/scaling -- --data mnist.npz --epochs 2
  python examples/paper/scaling.py --logs runs/vgg16-1 runs/vgg16-8 runs/vgg16-64 --accuracy 0.8 --out runs/scaling
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # run as a file: the imports below start at the repository's root
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bprune.atomic import write_text
from bprune.errors import BPruneError, EngineError
from examples.paper.flops import training_flops
from examples.paper.networks import NETWORKS
from examples.paper.scaling_pictures import draw_all
from examples.paper.scaling_report import Training, csv_text, measure, read_training

TRAIN = Path(__file__).with_name("train.py")


def run_trainings(options: argparse.Namespace) -> list[Path]:
    """Train every kind on every number of workers, one after the other; where their logs are.

    Raises:
        EngineError: If a training fails.
    """
    kinds = [name for name in ("bayesian", "deterministic") if getattr(options, name)] or ["bayesian", "deterministic"]
    threads = max(1, (os.cpu_count() or 1) // max(options.workers))
    folders = []
    for kind in kinds:
        for workers in options.workers:
            folder = options.out / f"{options.model}-{kind}-{workers}"
            arguments = ["--model", options.model, f"--{kind}", "--out", str(folder), *options.train]
            print(
                f"{kind} {options.model} on {workers} worker{'s' if workers > 1 else ''}", file=sys.stderr, flush=True
            )
            _run(arguments, workers, options.distribute, options.mpiexec, threads)
            folders.append(folder)
    return folders


def _run(arguments: Sequence[str], workers: int, distribute: str, mpiexec: str, threads: int) -> None:
    """One training; every worker has as many threads, however many workers there are."""
    counts = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"), str(threads))
    environment = {**os.environ, **counts}
    command = [sys.executable, str(TRAIN), *arguments, "--distribute", distribute if workers > 1 else "none"]
    if workers > 1 and distribute == "multiworker":
        addresses = [f"localhost:{port}" for port in _free_ports(workers)]
        tasks = [{"type": "worker", "index": index} for index in range(workers)]
        processes = [
            subprocess.Popen(
                command,
                env={**environment, "TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task})},
            )
            for task in tasks
        ]
        codes = [process.wait() for process in processes]
    else:
        launcher = [mpiexec, "-n", str(workers)] if workers > 1 else []
        try:
            codes = [subprocess.run([*launcher, *command], env=environment).returncode]
        except FileNotFoundError:
            raise EngineError(f"{mpiexec} was not found", hint="Name the launcher with --mpiexec.") from None
    if any(codes):
        raise EngineError(f"a training ended with the exit codes {', '.join(map(str, codes))}: {' '.join(command)}")


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("localhost", 0))
    ports: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _counts(text: str) -> list[int]:
    counts = sorted({int(item) for item in text.split(",")})
    if counts[0] < 1:
        raise argparse.ArgumentTypeError(f"{counts[0]} workers: at least 1 is needed")
    return counts


def _share(text: str) -> float:
    value = float(text)
    if not 0.0 < value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def parse() -> argparse.Namespace:
    """The command line; what follows `--` is for `train.py`."""
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(
        description=lines[0],
        epilog="\n".join(lines[5:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [options] --out DIR [-- OPTIONS OF train.py]",
    )
    add = parser.add_argument
    add("--model", choices=list(NETWORKS), help="train this network here")
    add("--workers", type=_counts, metavar="N,N", help="numbers of workers to train on; default: 1,2")
    add("--distribute", choices=["mpi", "multiworker"], help="how workers exchange gradients; default: mpi")
    add("--bayesian", action="store_true", help="train the Bayesian network alone")
    add("--deterministic", action="store_true", help="train the CNN alone; default: both")
    add("--mpiexec", metavar="COMMAND", help="launcher of MPI programs; default: mpiexec")
    add("--logs", nargs="+", type=Path, metavar="DIR", help="read these folders of train.py; nothing is trained")
    add("--accuracy", type=_share, metavar="A", help="tell after how many seconds this accuracy was reached")
    add("--out", type=Path, required=True, metavar="DIR", help="where scaling.csv and the pictures go")
    arguments = sys.argv[1:]
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:cut])
    options.train = arguments[cut + 1 :]
    running = [options.model, options.workers, options.distribute, options.mpiexec, options.bayesian, options.train]
    if options.logs and any([*running, options.deterministic]):
        parser.error("--logs reads trainings that were run: leave out --model and what goes with it")
    if not options.logs and not options.model:
        parser.error("one of --model and --logs is needed")
    own = {"--model", "--out", "--distribute", "--bayesian", "--deterministic", "--resume"} & set(options.train)
    if own:
        parser.error(f"{', '.join(sorted(own))} must not follow --: this script chooses it for every training")
    options.workers = options.workers or [1, 2]
    options.distribute = options.distribute or "mpi"
    options.mpiexec = options.mpiexec or "mpiexec"
    return options


def _flops(trainings: Sequence[Training]) -> dict[tuple[str, bool], int]:
    kinds = {(item.model, item.bayesian): item.batch for item in trainings if item.model in NETWORKS}
    return {(model, bayesian): training_flops(model, bayesian, batch) for (model, bayesian), batch in kinds.items()}


def main() -> None:
    """Train or read, then write the table and the pictures."""
    options = parse()
    try:
        trainings = [read_training(folder) for folder in options.logs or run_trainings(options)]
        measurements = measure(trainings, options.accuracy, _flops(trainings))
        options.out.mkdir(parents=True, exist_ok=True)
        table = csv_text(measurements)
        write_text(options.out / "scaling.csv", table, overwrite=True)
        pictures = draw_all(measurements, options.out, options.accuracy)
    except BPruneError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    print(table, end="")
    for path in [options.out / "scaling.csv", *pictures]:
        print(path)


if __name__ == "__main__":
    main()
