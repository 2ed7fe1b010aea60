"""The rows of the benchmark, and the two forms in which people read them: lines of text, and a table in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bprune.engines.machine import Machine

__all__ = ["BEGIN", "END", "HEADER", "Row", "describe", "markdown", "put_between_marks"]

BEGIN, END = "<!-- table -->", "<!-- /table -->"
"""What stands around the table in a file."""


@dataclass(frozen=True)
class Row:
    """One engine on one network at one sparsity.

    Attributes:
        network: The network.
        examples: Images in the batch.
        sparsity: Fraction of the weights that are pruned.
        engine: BPrune's engine.
        sampling: How it shares weights between the images of a draw.
        precision: In which number format it computes.
        draws: Draws of one repetition.
        loops_us: The loops in other frameworks, `tfp` first: microseconds per image and draw, by name.
        bprune_us: BPrune: the same.
        ratio: How many times faster than TFP's loop BPrune is.
        accuracy: BPrune's accuracy on the test set.
        units: Units that are left, layer by layer.
    """

    network: str
    examples: int
    sparsity: float
    engine: str
    sampling: str
    precision: str
    draws: int
    loops_us: Mapping[str, float]
    bprune_us: float
    ratio: float
    accuracy: float
    units: tuple[int, ...]

    def line(self) -> str:
        """The row as text."""
        others = "".join(f", {name} {value:.2f}" for name, value in self.loops_us.items() if name != "tfp")
        return (
            f"{self.network:<12}{self.examples:>7}{self.sparsity:>7.2f}  {self.engine:<11}{self.precision:<9}"
            f"{self.loops_us['tfp']:>10.2f}{self.bprune_us:>10.3f}{self.ratio:>8.1f}{self.accuracy:>9.4f}  "
            f"{'-'.join(map(str, self.units))}{others}"
        )


HEADER = (
    f"{'network':<12}{'images':>7}{'pruned':>7}  {'engine':<11}{'precision':<9}{'TFP us':>10}{'us':>10}{'ratio':>8}"
    f"{'accuracy':>9}  units, other loops"
)


def describe(machine: Machine) -> str:
    """The machine and its libraries, in two lines."""
    gpus = ", ".join(machine.gpus) or "no GPU"
    features = f" ({', '.join(machine.features)})" if machine.features else ""
    versions = ", ".join(f"{name} {item}" for name, item in machine.versions.items())
    cores = f"{machine.cores} core{'' if machine.cores == 1 else 's'}"
    return f"{machine.cpu}{features}, {cores}, {gpus}.\nPython {machine.python}, {versions}."


def markdown(rows: Sequence[Row], machine: Machine) -> str:
    """The rows as a table in Markdown: a line for every network and sparsity, the engines side by side."""
    loops = list(dict.fromkeys(name for row in rows for name in row.loops_us))
    sides = list(dict.fromkeys((row.engine, row.precision) for row in rows))
    heads = ["network", "images", "pruned", *(f"{name} loop" for name in loops)]
    for engine, precision in sides:
        heads += [engine if precision == "float32" else f"{engine}, {precision}", "ratio"]
    lines: dict[tuple[str, int, float], dict[tuple[str, str], Row]] = {}
    for row in rows:
        lines.setdefault((row.network, row.examples, row.sparsity), {})[row.engine, row.precision] = row
    table = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for (network, examples, sparsity), found in lines.items():
        times = next(iter(found.values())).loops_us
        cells = [network, f"{examples:,}", f"{sparsity:.0%}", *(_us(times.get(name)) for name in loops)]
        for side in sides:
            row = found.get(side)  # type: ignore[assignment]
            cells += [_us(row.bprune_us), f"{row.ratio:.1f}x"] if row else ["-", "-"]
        table.append(cells)
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
    legend = "Microseconds per image and draw; ratio: the time of the tfp loop over the engine's."
    return f"{describe(machine)}\n{legend}\n\n{text}"


def _us(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 100.0 else f"{value:,.0f}"


def put_between_marks(path: Path, text: str) -> None:
    """Replace what stands between the marks of a file.

    Raises:
        ValueError: If the file does not have both marks, once each and in order.
    """
    content = path.read_text(encoding="utf-8")
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"{path} needs one {BEGIN} and, behind it, one {END}")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
