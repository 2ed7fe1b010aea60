"""One network, or the members of an ensemble, and their run into a results file, as the options of a command say."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bprune.arrays import BoolArray
from bprune.case import Case
from bprune.commands.choices import DataChoice, RuleChoice, RunChoice
from bprune.commands.output import Output
from bprune.errors import BPruneError
from bprune.inference.data import Dataset
from bprune.inference.share import begin
from bprune.pages import release_program_pages
from bprune.posterior import Network, read_network
from bprune.pruning import Rule
from bprune.results import Results
from bprune.results.ensemble import check_outputs, ensemble_run
from bprune.results.members import member_seed
from bprune.results.record import Member, new_run, record_draws
from bprune.results.schema import RunRecord
from bprune.scale import Workers

__all__ = ["Chosen", "choose", "prepare", "read", "record"]


@dataclass(frozen=True, eq=False)
class Chosen:
    """A network whose weights were chosen.

    Attributes:
        case: Its case.
        network: Its posteriors.
        masks: True where a weight is kept, by posterior name.
        rule: What chose them; None where the case is run as it is.
    """

    case: Case
    network: Network
    masks: Mapping[str, BoolArray]
    rule: Rule | None = None


def choose(cases: Sequence[Case], pruning: RuleChoice, data: DataChoice, tell: Output) -> list[Chosen]:
    """The networks of some cases, pruned on the fly where a rule was given.

    Args:
        cases: The cases.
        pruning: The rule, the same for all; none leaves them as they are.
        data: What activations are measured on, where the rule needs them.
        tell: What is told meanwhile.
    """
    rule = pruning.rule() if pruning.is_given else None
    chosen = []
    for case in cases:
        with naming(case, cases):
            network = read_network(case)
            masks = pruning.plan(rule, case, network, data, tell).masks if rule is not None else network.masks
        chosen.append(Chosen(case, network, masks, rule))
    return chosen


@contextlib.contextmanager
def naming(case: Case, cases: Sequence[Case]) -> Iterator[None]:
    """Say in an error which of several cases it is about."""
    try:
        yield
    except BPruneError as error:
        if len(cases) > 1:
            error.message = f"{case.files.root}: {error.message}"
        raise


def prepare(run: RunChoice, networks: Sequence[Chosen], tell: Output) -> tuple[list[Member], RunRecord]:
    """The engine of each network, and what a results file says of all.

    Args:
        run: How to run.
        networks: One network, or the members of an ensemble.
        tell: What is told meanwhile.
    """
    members, runs = [], []
    for number, item in enumerate(networks):
        seed = member_seed(run.seed, number)
        with naming(item.case, [other.case for other in networks]):
            prepared = run.prepare(item.case, item.network, item.masks, tell, seed=seed)
        members.append(Member(item.network, prepared))
        runs.append(
            new_run(
                item.case,
                prepared,
                mc_iters=run.most_draws,
                seed=seed,
                rule=item.rule,
                command=" ".join(["bprune", *sys.argv[1:]]),
                antithetic=run.antithetic,
                stopping=run.stopping(),
            )
        )
    outputs = [member.prepared.engine.output_size for member in members]
    check_outputs([item.case for item in networks], outputs)
    return members, ensemble_run(runs)


def read(data: DataChoice, members: Sequence[Member], tell: Output) -> Dataset:
    """The data, in the shape that the networks take."""
    dataset = data.read(members[0].case, members[0].prepared.engine)
    for note in dataset.notes:
        tell.assumption(note)
    return dataset


def record(
    run: RunChoice,
    networks: Sequence[Chosen],
    data: DataChoice,
    out: Path,
    tell: Output,
    workers: Workers | None = None,
) -> Results:
    """Run MC inference into a results file; where the number of draws is not fixed they are not stored.

    Args:
        run: How to run.
        networks: One network, or the members of an ensemble.
        data: The data.
        out: The results file.
        tell: What is told meanwhile.
        workers: Who works; None for this process.
    """
    if workers is not None and run.engine != "graph":  # which is refused
        workers.begin(begin)
    members, whole = prepare(run, networks, tell)
    dataset, stopping = read(data, members, tell), run.stopping()
    if stopping is not None and run.draws is None:
        tell.notice("The number of draws differs between examples; the summary alone is stored.")
    release_program_pages()  # of TensorFlow, which has read and checked the networks
    with tell.progress(f"{whole.case}: {run.told_draws}") as progress:
        return record_draws(
            members,
            dataset,
            out,
            whole,
            stopping=stopping,
            keep_draws=run.keep_draws,
            batch_size=run.batch_size,
            workers=workers,
            overwrite=run.overwrite,
            progress=progress,
        )
