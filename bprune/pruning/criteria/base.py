"""What a pruning criterion is: a score per weight; the lowest scores are pruned first.

A weight is pruned when its score is below the threshold and kept when it is equal. What a score needs beside the
posterior is the `Context`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from bprune.arrays import Float64Array
from bprune.errors import UsageError
from bprune.posterior.posterior import Posterior

__all__ = ["Activations", "Context", "Criterion", "Prior"]


@dataclass(frozen=True)
class Prior:
    """A Normal prior of every weight. A fixed prior is not in a checkpoint: it has to be told.

    Attributes:
        loc: Its mean.
        scale: Its standard deviation, above 0.

    Raises:
        UsageError: If a number is not finite or out of range.
    """

    loc: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.loc):
            raise UsageError(f"the prior has the mean {self.loc}; it must be finite")
        if not (math.isfinite(self.scale) and self.scale > 0.0):
            raise UsageError(f"the prior has the scale {self.scale}; it must be a finite number above 0")


@dataclass(frozen=True, eq=False)
class Activations:
    """What the weights of a network are multiplied with.

    Attributes:
        mean_square: By posterior name, of the weight's shape: E[x^2] of the input x that a weight multiplies, over
            examples (and over positions in a convolution); 1 for a bias.
        examples: How many examples were averaged.
    """

    mean_square: Mapping[str, Float64Array]
    examples: int


@dataclass(frozen=True, eq=False)
class Context:
    """What a score needs beside the posterior; None where nothing was said.

    Attributes:
        prior: The prior under which the network was trained; TFP's default is N(0, 1).
        reduced_scale: Standard deviation of the reduced prior N(0, reduced_scale^2), below that of the prior.
        inclusion: Prior probability that a weight is there, between 0 and 1.
        activations: What the weights are multiplied with.
        layer: All posteriors of the layer whose weights are scored; filled in when a network is scored.
        is_output: Whether that layer is the last, so that its units are the outputs of the network; filled in too.

    Raises:
        UsageError: If a number is out of range.
    """

    prior: Prior | None = None
    reduced_scale: float | None = None
    inclusion: float | None = None
    activations: Activations | None = None
    layer: tuple[Posterior, ...] = ()
    is_output: bool = False

    def __post_init__(self) -> None:
        if self.reduced_scale is not None and not 0.0 < self.reduced_scale < self.weight_prior.scale:
            raise UsageError(
                f"the reduced prior has the scale {self.reduced_scale}; it must be above 0 and below that of the "
                f"prior, {self.weight_prior.scale:g}"
            )
        if self.inclusion is not None and not 0.0 < self.inclusion < 1.0:
            raise UsageError(f"the prior inclusion is {self.inclusion}; it must be a probability between 0 and 1")

    @property
    def weight_prior(self) -> Prior:
        """The prior; N(0, 1) where nothing was said."""
        return self.prior if self.prior is not None else Prior()

    @property
    def prior_inclusion(self) -> float:
        """The prior probability that a weight is there; 0.5 where nothing was said."""
        return self.inclusion if self.inclusion is not None else 0.5


class Criterion(ABC):
    """A pruning criterion.

    Attributes:
        name: Its name on the command line and in files.
        title: What it is, for headings and axes.
        unit: The unit of its scores, for tables and axes.
        own_threshold: The threshold where nobody says another; None where one has to be given.
        lowest: The smallest score there is, which a weight that was pruned before has. As a threshold it is the
            identity.
        uses: Which fields of `Context` it reads.
        families: The posteriors' families that it can score.
        refusal: Why not others.
        reported_only: Why it is not pruned by; empty where it is.
        whole_units: Whether all weights of an output unit have the same score.
    """

    name: str
    title: str
    unit: str
    own_threshold: float | None = None
    lowest: float = 0.0
    uses: frozenset[str] = frozenset()
    families: frozenset[str] = frozenset({"Normal", "Laplace", "LogNormal"})
    refusal: str = ""
    reported_only: str = ""
    whole_units: bool = False

    @abstractmethod
    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """The score of every weight, of the weight's shape; may be infinite, never NaN where the weight is kept."""

    def rank(self, posterior: Posterior, context: Context) -> Float64Array:
        """Scores of the same order that tell apart what rounds to the same score; a sparsity goes by these."""
        return self.score(posterior, context)

    def parameters(self, context: Context) -> dict[str, float]:
        """What the scores depend on beside the posterior, by name, defaults included: for records."""
        found: dict[str, float] = {}
        if "prior" in self.uses:
            found |= {"prior_loc": context.weight_prior.loc, "prior_scale": context.weight_prior.scale}
        if "reduced_scale" in self.uses and context.reduced_scale is not None:
            found["reduced_scale"] = context.reduced_scale
        if "inclusion" in self.uses:
            found["prior_inclusion"] = context.prior_inclusion
        if "activations" in self.uses and context.activations is not None:
            found["activation_examples"] = context.activations.examples
        return found
