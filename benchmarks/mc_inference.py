"""Monte-Carlo inference: TFP's own compiled Flipout loop against BPrune's engine, in one run, on the same batch.

Both sides have the same posterior: a weight that is pruned has location and scale 0 in TFP's layers as well. Both give
the mean of the class probabilities over the draws. Times are medians of repetitions in turns.

Example:
  python benchmarks/mc_inference.py --network fc conv --sparsity 0 0.9 0.95 --json runs/mc_inference.json
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import json
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from measure import accuracy, machine, mean_probabilities, seconds
from networks import NETWORKS, Trained, load, shared_data
from tfp_loop import TfpLoop

from bprune import load_case
from bprune.case import Case
from bprune.engines.choose import EngineName, prepare_engine
from bprune.lowering.lower import lower, specialise
from bprune.lowering.size import measure
from bprune.posterior import Network, read_network
from bprune.pruning import Rule, choose_masks

warnings.filterwarnings("ignore", category=UserWarning)  # TFP and Keras on their own deprecations


@dataclass(frozen=True)
class Setting:
    """How much of a network is run.

    Attributes:
        examples: Images that are timed, as one batch. TFP's loop is at its best with about these numbers.
        draws: Draws of one repetition.
        rounds: Repetitions of both sides.
        test_examples: Images that the accuracy is computed on, the first of the test set.
        test_draws: Draws per image for the accuracy.
    """

    examples: int
    draws: int
    rounds: int = 7
    test_examples: int = 10_000
    test_draws: int = 20


SETTINGS = {
    "fc": Setting(10_000, 20),
    "conv": Setting(200, 4, test_examples=2_000),
    "digits_fc": Setting(360, 100),
    "digits_conv": Setting(360, 40),
}
QUICK = Setting(100, 5, rounds=3, test_examples=200)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        network: The network.
        sparsity: Fraction of the weights that are pruned.
        precision: In which number format BPrune computes.
        examples: Images in the batch.
        draws: Draws of one repetition.
        tfp_us: TFP: microseconds per image and draw.
        bprune_us: BPrune: the same.
        ratio: How many times faster BPrune is.
        accuracy: BPrune's accuracy on the test set.
        units: Units that are left, layer by layer.
    """

    network: str
    sparsity: float
    precision: str
    examples: int
    draws: int
    tfp_us: float
    bprune_us: float
    ratio: float
    accuracy: float
    units: tuple[int, ...]

    def line(self) -> str:
        """The row as text."""
        units = "-".join(map(str, self.units))
        return (
            f"{self.network:<12}{self.sparsity:>6.2f}  {self.precision:<9}{self.tfp_us:>12.2f}{self.bprune_us:>12.2f}"
            f"{self.ratio:>9.1f}{self.accuracy:>10.4f}  {units}"
        )


HEADER = (
    f"{'network':<12}{'pruned':>6}  {'precision':<9}{'TFP us':>12}{'BPrune us':>12}{'ratio':>9}{'accuracy':>10}  units"
)


def benchmark(name: str, sparsities: Sequence[float], precisions: Sequence[str], setting: Setting) -> Iterator[Row]:
    """Time a network at some sparsities, in some precisions."""
    trained = load(name)
    with tempfile.TemporaryDirectory() as folder:
        case = load_case(trained.write(Path(folder) / name))
        network = read_network(case)
        loop = TfpLoop(trained.model, trained.inputs[: setting.examples])
        for sparsity in sparsities:
            yield from _rows(trained, loop, case, network, sparsity, precisions, setting)


def _rows(
    trained: Trained,
    loop: TfpLoop,
    case: Case,
    network: Network,
    sparsity: float,
    precisions: Sequence[str],
    setting: Setting,
) -> Iterator[Row]:
    masks = choose_masks(network, Rule(threshold=None, sparsity=sparsity))
    trained.prune(masks)
    inputs, draws = trained.inputs[: setting.examples], setting.draws
    test, labels = (item[: setting.test_examples] for item in (trained.inputs, trained.labels))
    prepared = [prepare_engine(case, network, masks, name=EngineName.TENSORFLOW, precision=item) for item in precisions]
    scores = [accuracy(item.engine, test, labels, setting.test_draws) for item in prepared]
    sides = {"tfp": partial(loop.draw, draws)}
    for precision, item in zip(precisions, prepared, strict=True):
        item.engine.prepare(len(inputs))
        sides[precision] = partial(mean_probabilities, item.engine, inputs, draws)
    times = {key: value / len(inputs) / draws * 1e6 for key, value in seconds(sides, setting.rounds).items()}
    units = tuple(layer.units_out for layer in measure(specialise(lower(case, network), masks)).layers)
    for precision, item, score in zip(precisions, prepared, scores, strict=True):
        yield Row(
            network=trained.name,
            sparsity=sparsity,
            precision=item.plan.precision,
            examples=len(inputs),
            draws=draws,
            tfp_us=times["tfp"],
            bprune_us=times[precision],
            ratio=times["tfp"] / times[precision],
            accuracy=score,
            units=units,
        )


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time Monte-Carlo inference: TFP's compiled loop against BPrune.")
    parser.add_argument("--network", nargs="+", choices=[*NETWORKS, "all", "sample"], help="default: fc and conv")
    parser.add_argument("--sparsity", nargs="+", type=float, default=[0.0, 0.8, 0.9, 0.95, 0.98])
    parser.add_argument("--precision", nargs="+", choices=["float32", "bfloat16"], default=["float32"])
    parser.add_argument("--examples", type=int, help="images in the batch (default: fc 10000, conv 200, samples 360)")
    parser.add_argument("--draws", type=int, help="draws of one repetition (default: fc 20, conv 4)")
    parser.add_argument("--rounds", type=int, help="repetitions of both sides (default: 7)")
    parser.add_argument("--test-examples", type=int, help="images for the accuracy (default: fc 10000, conv 2000)")
    parser.add_argument("--test-draws", type=int, help="draws for the accuracy (default: 20)")
    parser.add_argument("--quick", action="store_true", help="few images and draws, to see that everything works")
    parser.add_argument("--json", type=Path, help="write the numbers to this file as well")
    return parser.parse_args()


def chosen_networks(names: Sequence[str] | None) -> list[str]:
    """The networks that the command line names; without the shared data the sample cases."""
    if names is None:
        names = ["all"] if shared_data() else ["sample"]
    groups = {"all": ["fc", "conv"], "sample": ["digits_fc", "digits_conv"]}
    return list(dict.fromkeys(item for name in names for item in groups.get(name, [name])))


def main() -> None:
    """Run the benchmark."""
    arguments = parse()
    facts = machine()
    print(f"{facts['cpu']}, {facts['cores']} cores, GPUs: {', '.join(facts['gpus']) or 'none'}")
    print(", ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    print("microseconds per image and draw; ratio: TFP's time over BPrune's\n")
    print(HEADER, flush=True)
    rows = []
    for name in chosen_networks(arguments.network):
        given = {key: value for key, value in vars(arguments).items() if key in asdict(QUICK) and value is not None}
        setting = Setting(**{**asdict(QUICK if arguments.quick else SETTINGS[name]), **given})
        for row in benchmark(name, arguments.sparsity, arguments.precision, setting):
            print(row.line(), flush=True)
            rows.append(asdict(row))
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"machine": facts, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
