"""A number and how sure one can be of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Estimate"]


@dataclass(frozen=True)
class Estimate:
    """The value of a metric, with two standard errors that answer different questions; NaN where one is not known.

    Attributes:
        value: The metric, in its unit.
        data_stderr: How much it would change on other examples of the same kind: the standard error of finite data.
        mc_stderr: How much it would change with other draws of the same network: the standard error of finite draws.
    """

    value: float
    data_stderr: float = math.nan
    mc_stderr: float = math.nan

    @property
    def stderr(self) -> float:
        """Both errors together, sqrt(data^2 + mc^2); an error that is not known counts as 0, two of them as NaN.

        What draws do to single examples shows in their spread too, so that the sum is rather too large than too small.
        """
        known = [error for error in (self.data_stderr, self.mc_stderr) if not math.isnan(error)]
        return math.hypot(*known) if known else math.nan
