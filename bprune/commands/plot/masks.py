"""`bprune plot masks`: which weights are kept."""

from __future__ import annotations

import click

from bprune.commands.choices import CaseChoice, DataChoice, RuleChoice
from bprune.commands.options import case_options, data_options, output_options, rule_options
from bprune.commands.output import Output
from bprune.commands.plot.options import Picture, picture_options

__all__ = ["command"]


@click.command("masks")
@case_options
@rule_options
@data_options
@picture_options
@output_options
def command(choice: CaseChoice, pruning: RuleChoice, data: DataChoice, picture: Picture, tell: Output) -> None:
    """Draw which weights are kept, a picture for each weight tensor.

    A pruned case shows its own masks unless another rule is given; others show what the rule would prune. --data is for
    criteria that measure activations.

    \b
    Example:
      bprune plot masks --case-dir digits_conv-pruned
      bprune plot masks --case-dir sample_checkpoints/digits_conv --sparsity 0.8 --out masks.svg
    """
    with tell.tensorflow():
        from bprune.plots.masks import masks_data
        from bprune.posterior import read_network

        case = choice.load()
        target = picture.target(f"{case.name}-masks")
        network = read_network(case)
        masks, title = network.masks, case.name
        if pruning.is_given or all(mask.all() for mask in masks.values()):
            plan = pruning.plan(pruning.rule(), case, network, data, tell)
            masks, title = dict(plan.masks), f"{case.name}, {plan.rule.describe()}"
        shown = masks_data(network, masks)
    picture.write("masks", shown, target, title, tell)
