"""The answer of a test of enrichment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bcnmf_jax.extras import require


@dataclass(frozen=True)
class Enrichment:
    """A row per component, and how it was tested.

    Attributes
    ----------
    rows : tuple of dict
        Target components first. ``component`` (name), ``kind`` ("target" or "background");
        ``usage_target``, ``usage_background`` (mean share of a row's total, each group counting the
        same) and their ``log2_ratio`` as the model has them, which are no evidence;
        ``groups_higher`` (groups of the target with more usage than the median group of the
        background, or than their partner), ``largest_group`` and ``largest_share`` (the group with
        most of the usage, and its part: one that carries the component alone). From refits:
        ``held_out_log2_ratio`` and ``effect`` (standardised difference of the groups' usage) in
        groups that the refits have not seen, ``null_log2_ratio`` and ``null_log2_ratio_95`` (median
        and 95th percentile with groups exchanged), ``p`` (one-sided: used more in the target),
        ``q`` (Benjamini & Hochberg over the rows of its kind), ``match`` (mean cosine of the
        component to those of the two refits that it is tested by); all None where nothing could be
        tested. ``level`` ("group" or "cell") and ``note`` (why nothing was tested, or what was left
        out).
    level : str
        What was exchanged.
    groups : tuple of int
        Numbers of groups (at level "cell" of rows) that were tested, in target and background.
    paired : bool
    permutations : int
        Exchanges beside the observed arrangement.
    exact : bool
        Whether these are all that there are.
    note : str
    """

    rows: tuple[dict[str, Any], ...]
    level: str
    groups: tuple[int, int]
    paired: bool
    permutations: int
    exact: bool
    note: str

    @property
    def testable(self) -> bool:
        """Whether there are p-values."""
        return self.permutations > 0

    @property
    def smallest(self) -> tuple[float, float]:
        """The smallest p and q that a target component can reach, NaN where nothing is tested."""
        if not self.testable:
            return float("nan"), float("nan")
        count = sum(row["kind"] == "target" for row in self.rows)
        # The components of all arrangements are compared; the best of them pays for the others.
        return 1 / (count * (self.permutations + 1)), 1 / (self.permutations + 1)

    def to_frame(self):
        """The rows as a pandas DataFrame.

        Raises
        ------
        ImportError
            Without pandas.
        """
        return require("pandas", "bio").DataFrame(list(self.rows))

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain types, for JSON."""
        return asdict(self) | {"rows": list(self.rows), "groups": list(self.groups)}
