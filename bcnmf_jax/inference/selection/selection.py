"""The result of a label-free choice."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

OUTCOMES = ("contrast found", "no contrast found", "no power", "background unsuitable")
LISTS = ("reasons", "table", "background_table", "components")


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
    components : tuple of dict
        By separation, each target component of the choice by itself: ``specificity`` (2 A - 1, A
        the area under the ROC curve of its share between target and background; below 0.05 it is
        not enriched), ``spill`` (its mean share in the background relative to that in the target;
        above 0.5 it is not clean), ``stability`` (the lower cosine to its partner in fits of two
        halves of the rows; below 0.8 it is not stable), where donors are known ``donors`` (their
        effective number), ``largest_donor`` and ``largest_part`` (of the usage; above 0.6, or two
        of three donors, it is carried by one donor), and the ``verdict``: "sound", or what it is
        not.
    together : bool
        Whether components in turn are refitted together. Donors are the reason not to: what they
        share comes first, what one of them carries next, and together the two mix.
    """

    outcome: str
    reasons: tuple[str, ...]
    objective: str
    alpha: float
    n_components: int
    n_background_components: int
    table: tuple[dict[str, Any], ...] = field(repr=False)
    background_table: tuple[dict[str, Any], ...] = field(repr=False)
    components: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    together: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain types, for JSON."""
        plain = asdict(self)
        return plain | {k: list(plain[k]) for k in LISTS}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Selection:
        """From `to_dict`.

        Raises
        ------
        ValueError
            For other keys, or an outcome that is not known.
        """
        plain = {"components": [], "together": True} | plain  # which earlier ones lack
        if set(plain) != set(cls.__dataclass_fields__) or plain["outcome"] not in OUTCOMES:
            raise ValueError("not a selection as Selection.to_dict writes it")
        held: dict[str, Any] = plain | {name: tuple(plain[name]) for name in LISTS}
        return cls(**held)
