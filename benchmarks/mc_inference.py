"""Monte-Carlo inference: TFP's own compiled Flipout loop against BPrune's engines, in one run, on the same batch.

All sides have the same posterior: a weight that is pruned has location and scale 0 in the loops as well. All give the
mean of the class probabilities over the draws. Times are medians of repetitions in turns; `docs/performance.md` says
more, and holds a table that this writes.

Example:
  python benchmarks/mc_inference.py --network fc conv --sparsity 0 0.9 0.95 --json runs/mc_inference.json
  python benchmarks/mc_inference.py --markdown docs/performance.md
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import importlib.util
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from networks import NETWORKS, Trained, load, shared_data
from tables import HEADER, Row, describe, markdown, put_between_marks
from tfp_loop import TfpLoop

from bprune import load_case
from bprune.arrays import AnyArray, BoolArray
from bprune.case import Case
from bprune.engines.base import Engine
from bprune.engines.choose import EngineName, Prepared, prepare_engine
from bprune.engines.machine import read_machine
from bprune.inference.timing import DrawLoop, median_s, time_in_turns
from bprune.lowering.lower import lower, specialise
from bprune.lowering.size import measure
from bprune.posterior import Network, read_network
from bprune.pruning import Rule, choose_masks

warnings.filterwarnings("ignore", category=UserWarning)  # TFP and Keras on their own deprecations

LOOPS = ("jax", "torch")
"""Loops in other frameworks, by the name of the package that they need."""

Variants = Sequence[tuple[EngineName, str]]


@dataclass(frozen=True)
class Setting:
    """How much of a network is run.

    Attributes:
        examples: Images that are timed, as one batch.
        draws: Draws of one repetition.
        rounds: Repetitions of every side.
        test_examples: Images that the accuracy is computed on, the first of the test set.
        test_draws: Draws per image for the accuracy.
    """

    examples: int
    draws: int
    rounds: int = 7
    test_examples: int = 10_000
    test_draws: int = 20


SETTINGS = {
    "fc": (Setting(10_000, 20), Setting(64, 1_000)),
    "conv": (Setting(500, 4, test_examples=2_000),),
    "digits_fc": (Setting(360, 100),),
    "digits_conv": (Setting(360, 40),),
}
QUICK = Setting(100, 5, rounds=3, test_examples=200)


def benchmark(
    name: str, sparsities: Sequence[float], variants: Variants, loops: Sequence[str], settings: Sequence[Setting]
) -> Iterator[Row]:
    """Time a network at some sparsities, with some engines, on batches of some sizes."""
    trained = load(name)
    with tempfile.TemporaryDirectory() as folder:
        case = load_case(trained.write(Path(folder) / name))
        network = read_network(case)
        for setting in settings:
            inputs = trained.inputs[: setting.examples]
            sides: dict[str, Any] = {"tfp": TfpLoop(trained.model, inputs)}
            sides |= {name: _loop(name, trained, inputs) for name in loops}
            for sparsity in sparsities:
                yield from _rows(trained, sides, case, network, sparsity, variants, setting)


def _loop(name: str, trained: Trained, inputs: AnyArray) -> Any:
    """A loop in another framework, which is imported if it is wanted."""
    if name == "jax":
        from jax_loop import JaxLoop

        return JaxLoop(trained, inputs)
    from torch_loop import TorchLoop

    return TorchLoop(trained, inputs)


def _rows(
    trained: Trained,
    loops: Mapping[str, Any],
    case: Case,
    network: Network,
    sparsity: float,
    variants: Variants,
    setting: Setting,
) -> Iterator[Row]:
    masks = choose_masks(network, Rule(threshold=None, sparsity=sparsity))
    _prune(trained, loops, masks)
    prepared = [prepare_engine(case, network, masks, name=name, precision=item) for name, item in variants]
    test, labels = (item[: setting.test_examples] for item in (trained.inputs, trained.labels))
    scores = [accuracy(item.engine, test, labels, setting.test_draws) for item in prepared]
    us = _microseconds(loops, prepared, trained.inputs[: setting.examples], setting)
    units = tuple(layer.units_out for layer in measure(specialise(lower(case, network), masks)).layers)
    for number, (item, score) in enumerate(zip(prepared, scores, strict=True)):
        yield Row(
            network=trained.name,
            examples=setting.examples,
            sparsity=sparsity,
            engine=item.plan.engine,
            sampling=item.plan.sampling,
            precision=item.plan.precision,
            draws=setting.draws,
            loops_us={name: us[name] for name in loops},
            bprune_us=us[f"variant {number}"],
            ratio=us["tfp"] / us[f"variant {number}"],
            accuracy=score,
            units=units,
        )


def _prune(trained: Trained, loops: Mapping[str, Any], masks: Mapping[str, BoolArray]) -> None:
    """The same pruned posterior for all sides; TFP's loop reads the model's variables."""
    trained.prune(masks)
    for name in LOOPS:
        if name in loops:
            loops[name].prune(masks)


def _microseconds(
    loops: Mapping[str, Any], prepared: Sequence[Prepared], inputs: AnyArray, setting: Setting
) -> dict[str, float]:
    """The median of every side per image and draw."""
    sides: dict[str, Any] = {name: partial(loop.draw, setting.draws) for name, loop in loops.items()}
    for number, item in enumerate(prepared):
        sides[f"variant {number}"] = DrawLoop(item.engine, inputs, setting.draws)
    seconds = time_in_turns(sides, setting.rounds)
    return {name: median_s(times) / len(inputs) / setting.draws * 1e6 for name, times in seconds.items()}


def accuracy(engine: Engine, inputs: AnyArray, labels: AnyArray, draws: int) -> float:
    """The accuracy of the mean of the probabilities."""
    loop = DrawLoop(engine, inputs, draws)
    loop()
    return float((loop.mean().argmax(1) == labels).mean())


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time Monte-Carlo inference: TFP's compiled loop against BPrune.")
    parser.add_argument("--network", nargs="+", choices=[*NETWORKS, "all", "sample"], help="default: fc and conv")
    parser.add_argument("--sparsity", nargs="+", type=float, default=[0.0, 0.8, 0.9, 0.95, 0.98])
    parser.add_argument("--engine", nargs="+", choices=["tensorflow", "native"], default=["tensorflow", "native"])
    parser.add_argument(
        "--precision",
        nargs="+",
        choices=["float32", "bfloat16"],
        default=["float32"],
        help="of the engine tensorflow; native computes in float32",
    )
    parser.add_argument("--loop", nargs="*", choices=LOOPS, help="other loops (default: those that are installed)")
    parser.add_argument(
        "--examples", nargs="+", type=int, help="images in the batch (default: fc 10000 and 64, conv 500, samples 360)"
    )
    parser.add_argument("--draws", type=int, help="draws of one repetition (default: fc 20 and 1000, conv 4)")
    parser.add_argument("--rounds", type=int, help="repetitions of all sides (default: 7)")
    parser.add_argument("--test-examples", type=int, help="images for the accuracy (default: fc 10000, conv 2000)")
    parser.add_argument("--test-draws", type=int, help="draws for the accuracy (default: 20)")
    parser.add_argument("--quick", action="store_true", help="few images and draws, to see that everything works")
    parser.add_argument("--json", type=Path, help="write the numbers to this file as well")
    parser.add_argument("--markdown", type=Path, help="write a table between the marks of this file as well")
    arguments = parser.parse_args()
    installed = [name for name in LOOPS if importlib.util.find_spec(name) is not None]
    for name in arguments.loop or ():
        if name not in installed:
            parser.error(f"--loop {name}: {name} is not installed")
    arguments.loop = installed if arguments.loop is None else arguments.loop
    return arguments


def chosen_networks(names: Sequence[str] | None) -> list[str]:
    """The networks that the command line names; without the shared data the sample cases."""
    if names is None:
        names = ["all"] if shared_data() else ["sample"]
    groups = {"all": ["fc", "conv"], "sample": ["digits_fc", "digits_conv"]}
    return list(dict.fromkeys(item for name in names for item in groups.get(name, [name])))


def chosen_settings(name: str, arguments: argparse.Namespace) -> list[Setting]:
    """What the command line says of a network's settings, and the usual ones for the rest."""
    usual = (QUICK,) if arguments.quick else SETTINGS[name]
    if arguments.examples is not None:
        by_size = {item.examples: item for item in usual}
        usual = tuple(replace(by_size.get(size, usual[0]), examples=size) for size in arguments.examples)
    names = {item.name for item in fields(Setting)} - {"examples"}
    given = {key: value for key, value in vars(arguments).items() if key in names and value is not None}
    return [replace(item, **given) for item in usual]


def chosen_variants(engines: Sequence[str], precisions: Sequence[str]) -> Variants:
    """Engines with the precisions that they have."""
    return [
        (EngineName(engine), precision)
        for engine in dict.fromkeys(engines)
        for precision in dict.fromkeys(precisions if engine == "tensorflow" else ["float32"])
    ]


def main() -> None:
    """Run the benchmark."""
    arguments = parse()
    machine = read_machine()
    print(describe(machine))
    print("Microseconds per image and draw; ratio: TFP's time over BPrune's.\n")
    print(HEADER, flush=True)
    variants = chosen_variants(arguments.engine, arguments.precision)
    rows = []
    for name in chosen_networks(arguments.network):
        settings = chosen_settings(name, arguments)
        for row in benchmark(name, arguments.sparsity, variants, arguments.loop, settings):
            print(row.line(), flush=True)
            rows.append(row)
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"machine": asdict(machine), "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if arguments.markdown is not None:
        put_between_marks(arguments.markdown, markdown(rows, machine))


if __name__ == "__main__":
    main()
