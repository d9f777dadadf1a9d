"""The profile of a field: what the journal keeps of its objects, one number per feature."""

from __future__ import annotations

import numpy as np

from phenoloop.errors import AnalysisError
from phenoloop.measure.shape import Columns
from phenoloop.model import FieldProfilePlan
from phenoloop.numerics.profiles import mean, median
from phenoloop.numerics.rounding import significant


def field_profile(table: Columns, plan: FieldProfilePlan) -> tuple[float | None, ...]:
    """Return one number per column of the plan, to nine significant digits.

    Parameters
    ----------
    table : dict of str to ndarray, each of shape (n,)
        Of the objects; NaN and infinities are unknown.
    plan : FieldProfilePlan
        Which columns, and how they are summed up.

    Returns
    -------
    tuple of float or None
        None where no object knows the feature; so for all where there is no object.

    Raises
    ------
    AnalysisError
        If the table lacks a column of the plan.
    """
    missing = [name for name in plan.columns if name not in table]
    if missing:
        raise AnalysisError(
            f"the table of objects lacks {', '.join(missing[:6])}, which the profile holds; the protocol was checked "
            "with another version of the package that measures them. Start the run anew."
        )
    objects = np.stack([table[name] for name in plan.columns], axis=1).astype(np.float64)
    objects[~np.isfinite(objects)] = np.nan
    summed = {"median": median, "mean": mean}[plan.summary](objects)
    return tuple(None if value != value else significant(value) for value in summed.tolist())
