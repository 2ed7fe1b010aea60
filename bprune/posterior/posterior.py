"""The posterior of one weight tensor, and all posteriors of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bprune.arrays import AnyArray, BoolArray, Float64Array
from bprune.errors import DamagedFileError
from bprune.posterior.families import Family
from bprune.posterior.transform import ScaleTransform

__all__ = ["Network", "Posterior", "Stored", "Unrecognised"]


@dataclass(frozen=True)
class Stored:
    """A flat range of a variable: where one parameter of a posterior is stored.

    Attributes:
        variable: The variable's name.
        start: First element, in C order.
        stop: One past the last element.
    """

    variable: str
    start: int
    stop: int

    def take(self, values: AnyArray) -> AnyArray:
        """This range of the variable's value."""
        return values.reshape(-1)[self.start : self.stop]


@dataclass(frozen=True, eq=False)
class Posterior:
    """q(w) of one weight tensor.

    Attributes:
        layer: The layer's name.
        part: Which tensor of the layer: `kernel` or `bias`, or another stem of the variable's name.
        kind: The layer's class, such as `DenseFlipout`.
        family: The family of q.
        loc: Location parameter, of the weight's shape, in the variable's dtype.
        scale: Scale parameter, of the weight's shape, float64, positive.
        mask: True where the weight is kept; False where the checkpoint says that it was pruned.
        stored_loc: Where `loc` is stored.
        stored_scale: Where the untransformed scale is stored.
        transform: How the untransformed scale becomes `scale`.
        sites: The graph's tensors that hold the scale, where a mask has to be applied.

    Raises:
        DamagedFileError: If a value is not finite.
    """

    layer: str
    part: str
    kind: str
    family: Family
    loc: AnyArray
    scale: Float64Array
    mask: BoolArray
    stored_loc: Stored
    stored_scale: Stored
    transform: ScaleTransform
    sites: tuple[str, ...]

    def __post_init__(self) -> None:
        for label, values in (("loc", self.loc), ("scale", self.scale)):
            bad = np.flatnonzero(~np.isfinite(np.asarray(values, np.float64)))
            if bad.size:
                where = [int(axis) for axis in np.unravel_index(int(bad[0]), values.shape)]
                value = values.reshape(-1)[bad[0]]
                raise DamagedFileError(
                    f"the posterior {self.name!r} has the {label} {value} at {where}, and {bad.size - 1} more such",
                    hint="The training diverged; choose an earlier iteration with --checkpoint.",
                )

    @property
    def name(self) -> str:
        """`layer/part`."""
        return f"{self.layer}/{self.part}"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weight tensor."""
        return self.loc.shape

    @property
    def size(self) -> int:
        """Number of weights."""
        return int(self.loc.size)

    @property
    def mean(self) -> Float64Array:
        """E[w] of every weight, of the weight's shape."""
        return np.asarray(self.family.mean(np.asarray(self.loc, np.float64), self.scale))

    @property
    def stddev(self) -> Float64Array:
        """sqrt(Var[w]) of every weight, of the weight's shape."""
        return np.asarray(self.family.stddev(np.asarray(self.loc, np.float64), self.scale))

    @property
    def snr(self) -> Float64Array:
        """The signal-to-noise ratio of every weight, linear, of the weight's shape; 0 where it was pruned before."""
        ratio = self.family.snr(np.asarray(self.loc, np.float64), self.scale)
        return np.asarray(np.where(self.mask, ratio, 0.0))

    def __repr__(self) -> str:
        return f"<Posterior of {self.name}: {self.family.name}, {'x'.join(map(str, self.shape)) or 'scalar'}>"


@dataclass(frozen=True)
class Unrecognised:
    """Something stochastic that is run as it is but cannot be pruned.

    Attributes:
        name: The layer or variable.
        reason: Why not.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Network:
    """The Bayesian part of a network.

    Attributes:
        posteriors: The prunable weight tensors, in graph order.
        unrecognised: What is stochastic but not prunable, with reasons.
    """

    posteriors: tuple[Posterior, ...]
    unrecognised: tuple[Unrecognised, ...] = field(default=())

    @property
    def masks(self) -> dict[str, BoolArray]:
        """The masks that the checkpoint holds, by posterior name."""
        return {posterior.name: posterior.mask for posterior in self.posteriors}

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers with a posterior, in graph order."""
        return tuple(dict.fromkeys(posterior.layer for posterior in self.posteriors))

    def of_layer(self, layer: str) -> tuple[Posterior, ...]:
        """The posteriors of a layer."""
        return tuple(posterior for posterior in self.posteriors if posterior.layer == layer)

    def scale_masks(self, masks: Mapping[str, BoolArray]) -> dict[str, BoolArray]:
        """Masks by scale tensor of the graph, flat, where something is pruned.

        A packed variable holds several posteriors behind one tensor: their masks are joined in storage order.

        Args:
            masks: Masks by posterior name.

        Returns:
            By tensor name, `[element]`, True where kept.
        """
        joined: dict[str, list[tuple[int, BoolArray]]] = {}
        for posterior in self.posteriors:
            for site in posterior.sites:
                joined.setdefault(site, []).append((posterior.stored_scale.start, masks[posterior.name].reshape(-1)))
        flat = {
            site: np.concatenate([mask for _, mask in sorted(parts, key=lambda part: part[0])])
            for site, parts in joined.items()
        }
        return {site: mask for site, mask in flat.items() if not mask.all()}

    def __repr__(self) -> str:
        weights = sum(posterior.size for posterior in self.posteriors)
        return f"<Network: {len(self.layers)} layers, {weights:,} prunable weights>"

    def _repr_html_(self) -> str:
        from bprune.posterior.notebook import network_html

        return network_html(self)
