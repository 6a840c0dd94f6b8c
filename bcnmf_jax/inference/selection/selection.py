"""The result of a label-free choice."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

OUTCOMES = ("contrast found", "no contrast found", "no power", "background unsuitable")


@dataclass(frozen=True)
class Selection:
    """A choice of objective, contrast and numbers of components, and what it rests on.

    Attributes
    ----------
    outcome : str
        "contrast found", "no contrast found" (components beyond the background explain no more of
        the target than of the background itself), "no power" (nor would a program a twentieth as
        strong as the median one of the background have been found) or, from parameters on "auto",
        "background unsuitable" (`background_check`). Only the first recommends a fit.
    reasons : tuple of str
        Sentences that say why, and what to do.
    objective : str
        "balanced", "sequential", "background_first", "shared_target", "contrastive" or the class of
        an object.
    alpha : float
        Contrast per sample.
    n_components : int
        Target components.
    n_background_components : int
    table : tuple of dict
        One row per candidate: ``objective``, ``alpha``, ``n_components``. By separation:
        ``score``, the product of ``silhouette`` (of ``clusters`` groups of the target) and
        ``specificity``, and of the best ``excess``. On held-out samples, None where a candidate
        was not measured: means over the splits of ``gain`` (share of the held-out target that the
        components explain beyond the background's basis), ``null`` (the same in the background),
        ``net`` (their difference), its standard error ``net_se``, ``certain`` (their ratio),
        ``crossed`` (net gain by bi-cross-validation), ``thinned`` (net gain on counts that codes
        were not read on; None without counts), ``spill`` (what the target's components explain of
        held-out background), ``stability`` (cosine of matched components between splits),
        ``x_explained``, ``y_explained`` (of held-out samples, all components) and
        ``dead_features``.
    background_table : tuple of dict
        ``n_background_components`` and ``crossed``, the bi-cross-validated share of the background.
    """

    outcome: str
    reasons: tuple[str, ...]
    objective: str
    alpha: float
    n_components: int
    n_background_components: int
    table: tuple[dict[str, Any], ...] = field(repr=False)
    background_table: tuple[dict[str, Any], ...] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain types, for JSON."""
        plain = asdict(self)
        return plain | {k: list(plain[k]) for k in ("reasons", "table", "background_table")}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Selection:
        """From `to_dict`.

        Raises
        ------
        ValueError
            For other keys, or an outcome that is not known.
        """
        if set(plain) != set(cls.__dataclass_fields__) or plain["outcome"] not in OUTCOMES:
            raise ValueError("not a selection as Selection.to_dict writes it")
        names = ("reasons", "table", "background_table")
        held: dict[str, Any] = plain | {name: tuple(plain[name]) for name in names}
        return cls(**held)
