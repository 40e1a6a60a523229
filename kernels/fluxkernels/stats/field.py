"""Many tests at once: which points of a map stand out where some always do by chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fluxkernels.errors import OutOfRangeError
from fluxkernels.stats.series import filled

Array = npt.NDArray[Any]


def significant(p_values: Array, false_discoveries: float = 0.10) -> npt.NDArray[np.bool_]:
    """Where a test fails so clearly that few of all such places do by chance.

    Of 40,000 points of a map 2,000 have p < 0.05 where there is nothing at all. Here no more than
    the given share of the points found are expected to be there by chance; it holds for maps whose
    neighbouring points are alike.

    Parameters
    ----------
    p_values : float array
        Of one test at each point; NaN or masked where there was none.
    false_discoveries : float
        Share of the points found that may be there by chance. With 0.10 a map without anything in
        it has a point found in about 5 % of cases, where neighbours are alike (Wilks, 2016).

    Returns
    -------
    bool array
        Of the shape of `p_values`.

    Raises
    ------
    OutOfRangeError
        FK106: a share or a probability outside 0 to 1.

    References
    ----------
    Wilks: "The stippling shows statistically significant grid points". Bull. Am. Meteorol. Soc. 97,
    2263-2273, 2016. Benjamini and Hochberg: Controlling the false discovery rate. J. R. Stat. Soc.
    B 57, 289-300, 1995.

    Examples
    --------
    >>> import numpy as np
    >>> significant(np.array([0.001, 0.04, 0.3, np.nan])).tolist()
    [True, True, False, False]
    """
    if not 0.0 < false_discoveries < 1.0:
        raise OutOfRangeError(f"{false_discoveries} is no share.", "false_discoveries")
    given = filled(p_values).astype(np.float64)
    there = np.sort(given[np.isfinite(given)])
    if there.size and (there[0] < 0.0 or there[-1] > 1.0):
        raise OutOfRangeError("they are not all between 0 and 1.", "p_values")
    allowed = false_discoveries * np.arange(1, there.size + 1) / max(there.size, 1)
    below = there[there <= allowed]
    threshold = below[-1] if below.size else -1.0
    found: npt.NDArray[np.bool_] = given <= threshold
    return found
