"""The posteriors behind one scale tensor of the graph: one, or the parts of a packed variable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray, FloatArray
from bprune.lowering.weights import Stream, Weights
from bprune.posterior.posterior import Posterior

__all__ = ["Group", "groups_of"]

_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Group:
    """Posteriors that share a scale tensor, in the order in which it stores them.

    Attributes:
        posteriors: The posteriors.
        loc: Their locations, one after the other, `[element]`.
        scale: Their scales, `[element]`.
    """

    posteriors: tuple[Posterior, ...]
    loc: FloatArray
    scale: FloatArray

    @property
    def family(self) -> str:
        """The family's name; of a variable's parts it is the same."""
        return self.posteriors[0].family.name

    def fits(self, scale: AnyArray) -> bool:
        """Whether the graph's own arithmetic gives these scales."""
        flat = scale.reshape(-1).astype(np.float32)
        return flat.shape == self.scale.shape and np.allclose(flat, self.scale, rtol=_TOLERANCE, atol=1e-7)

    def weights(self, ids: AnyArray, call: int) -> tuple[Weights, str]:
        """The weight tensor of some elements.

        Args:
            ids: The elements' numbers in the group, of the tensor's shape.
            call: Which sampling of the posterior this is.

        Returns:
            The weights, and the layer's name.

        Raises:
            ValueError: If elements of several posteriors are mixed, one is there twice, or the numbers are too large.
        """
        posterior, start = self._owner(ids)
        if not (np.isfinite(self.loc[ids]).all() and np.isfinite(self.scale[ids]).all()):
            raise ValueError(f"uses the posterior {posterior.name!r}, which is too large for float32")
        seen = np.zeros(self.loc.size, bool)
        seen[ids] = True
        if int(np.count_nonzero(seen)) != ids.size:
            raise ValueError(f"uses an element of the posterior {posterior.name!r} more than once")
        weights = Weights(
            loc=self.loc[ids],
            scale=self.scale[ids],
            family=self.family,
            stream=Stream(posterior.name, call, posterior.size, posterior.shape[-1] if posterior.shape else 1),
            ids=(ids - start).astype(np.int32),
        )
        return weights, posterior.layer

    def _owner(self, ids: AnyArray) -> tuple[Posterior, int]:
        start = 0
        for posterior in self.posteriors:
            stop = start + posterior.size
            if ids.size and start <= ids.min() and ids.max() < stop:
                return posterior, start
            start = stop
        raise ValueError("mixes the weights of several posteriors in one tensor")


def groups_of(posteriors: Iterable[Posterior]) -> dict[str, Group]:
    """The groups, by the name of each tensor of the graph that holds a scale."""
    sites: dict[str, list[Posterior]] = {}
    for posterior in posteriors:
        for site in posterior.sites:
            sites.setdefault(site, []).append(posterior)
    made: dict[tuple[str, ...], Group] = {}
    found = {}
    for site, members in sites.items():
        members.sort(key=lambda item: item.stored_scale.start)
        names = tuple(item.name for item in members)
        if names not in made:
            made[names] = Group(
                tuple(members), _joined(item.loc for item in members), _joined(item.scale for item in members)
            )
        found[site] = made[names]
    return found


def _joined(parts: Iterable[AnyArray]) -> FloatArray:
    with np.errstate(over="ignore"):
        return np.concatenate([part.reshape(-1).astype(np.float32) for part in parts])
