"""Whether a run can be trusted, and why: one verdict for each piece of evidence in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bcnmf_jax.report._contents import Run

LEVELS = ("good", "care", "stop")
"""From green to red."""
SUMMARY = {
    "good": "Nothing speaks against this run",
    "care": "Use with care",
    "stop": "Do not rely on this run",
}
FAILED = ("collapsed", "nonfinite")
"""Results of fits that say nothing about the data."""
SAME_VALUE = 1e-3
"""Restarts agree where their reduced objectives differ by less than this share."""
DEAD_SHARE = 0.01
"""Share of dead features above which a model that should describe all of the target does not."""
LIKELY = 0.05


@dataclass(frozen=True)
class Verdict:
    """One piece of evidence: its level of `LEVELS`, its subject, and a sentence."""

    level: str
    topic: str
    sentence: str


def judge(run: Run) -> list[Verdict]:
    """All verdicts on a run, the gravest first; none for a comparison of methods."""
    command = run.config["command"]
    result = run.config.get("result") or {}
    found: list[Verdict] = []
    if command == "fit" and result:
        found += [_ending(result), *_described(run, result), *_restarts(run)]
    if command == "sweep" and result:
        found.append(_fits(result))
    if command in ("fit", "select"):
        found += [*_selected(result), *_background(run), *_enriched(run)]
        if not result.get("outcome") and "enrichment" not in run.tables:
            found.append(_untested(run))
    if count := len(run.config.get("warnings") or ()):
        found.append(Verdict("care", "Warnings", f"{count} given while it ran: see below."))
    return sorted(found, key=lambda v: -LEVELS.index(v.level))


def light(verdicts: list[Verdict]) -> str:
    """The gravest level."""
    return max((v.level for v in verdicts), key=LEVELS.index)


def _ending(result: dict[str, Any]) -> Verdict:
    name, steps = result["result"], result.get("steps")
    level, sentence = {
        "converged": ("good", f"The fit converged after {steps} steps."),
        "max_steps": (
            "care",
            f"The fit was still moving after {steps} steps: raise the largest number of steps.",
        ),
        "collapsed": (
            "stop",
            "The fit collapsed: its components no longer describe the target. Lower alpha, take "
            "the objective background_first, or check the background.",
        ),
        "nonfinite": ("stop", "The fit ended in numbers that are not finite: lower alpha."),
    }.get(name, ("care", f"The fit ended with the result {name!r}."))
    return Verdict(level, "Convergence", sentence)


def _described(run: Run, result: dict[str, Any]) -> Iterator[Verdict]:
    """Evidence from the diagnostics: how well both sets are described."""
    found, asked = result["diagnostics"], run.config["parameters"]
    objective = result.get("objective")
    alone = objective in ("contrastive", "published") and not result["n_background_components"]
    x, y = found.get("x_explained"), _most(found.get("y_explained"))
    if x is not None and y is not None:
        sentence = f"The components explain {x:.1%} of the target and {y:.1%} of the background."
        if alone and y >= x:
            sentence += " A contrast that works explains less of the background: raise alpha."
        yield Verdict("care" if alone and y >= x else "good", "Explained variance", sentence)
    dead, features = found.get("dead_features") or 0, result.get("fitted_features")
    features = features or run.config.get("features") or 1
    if dead > DEAD_SHARE * features:
        sentence = f"{dead:,.0f} of {features:,} features of the target are left out."
        meant = alone and asked.get("loss") == "frobenius"
        why = " This is meant: those of shared programs leave." if meant else " Lower alpha."
        yield Verdict("good" if meant else "care", "Dead features", sentence + why)
    if found.get("dead_components"):
        yield Verdict(
            "care", "Dead components",
            f"{found['dead_components']:.0f} components hold nothing: fit fewer.",
        )  # fmt: skip


def _most(value: Any) -> float | None:
    """The largest of several backgrounds' values."""
    known = [v for v in (value if isinstance(value, list) else [value]) if v is not None]
    return max(known, default=None)


def _restarts(run: Run) -> Iterator[Verdict]:
    table = run.tables.get("restarts")
    if table is None:
        return
    fine = table[~table["result"].isin(FAILED)]
    values = fine["value"].to_numpy(float)
    values = values[np.isfinite(values)]
    objective = (run.config.get("result") or {}).get("objective")
    if len(table) < 2 and "selection" in run.tables and objective in ("balanced", "sequential"):
        yield Verdict("good", "Restarts", "The fit went on from the candidate that was chosen.")
        return
    if len(table) < 2:
        yield Verdict(
            "care", "Restarts", "There was one start: whether others end elsewhere is not known."
        )
        return
    failed = len(table) - len(fine)
    lost = f" {failed} collapsed or were not finite." if failed else ""
    if not len(values):
        return  # the verdict on convergence has said so
    near = int(np.sum(values - values.min() <= SAME_VALUE * abs(values.min())))
    sentence = f"{near} of {len(table)} starts reached the best value."
    level = "care" if near < 2 or failed > len(table) / 2 else "good"
    advice = " Raise the number of restarts." if near < 2 else ""
    yield Verdict(level, "Restarts", sentence + lost + advice)


def _fits(result: dict[str, Any]) -> Verdict:
    counts = {k: v for k, v in result["results"].items() if v}
    total = max(sum(counts.values()), 1)
    failed = sum(counts.get(name, 0) for name in FAILED)
    text = ", ".join(f"{count} {name}" for name, count in counts.items())
    level = "stop" if failed == total else "care" if failed or counts.get("max_steps") else "good"
    return Verdict(level, "Fits", f"Of {total} fits: {text}. Read none of those that collapsed.")


def _selected(result: dict[str, Any]) -> Iterator[Verdict]:
    outcome = result.get("outcome")
    if outcome:
        level = {"contrast found": "good", "no power": "care"}.get(outcome, "stop")
        reasons = "; ".join(result.get("reasons") or ())
        yield Verdict(
            level, "Label-free choice", f"{outcome[:1].upper()}{outcome[1:]}. {reasons}".strip()
        )


def _background(run: Run) -> Iterator[Verdict]:
    table = run.tables.get("background")
    if table is None:
        return
    level = {"ok": "good", "warn": "care", "unsuitable": "stop"}
    for row in table.to_dict("records"):
        if row["level"] != "ok":
            yield Verdict(level.get(row["level"], "care"), "Background", str(row["advice"]))
    if (table["level"] == "ok").all():
        yield Verdict("good", "Background", f"All {len(table)} checks of the background pass.")


def _enriched(run: Run) -> Iterator[Verdict]:
    table = run.tables.get("enrichment")
    if table is None:
        return
    mine = table[table["kind"] == "target"]
    q = mine["q"].to_numpy(float)
    if not np.isfinite(q).any():
        why = next((str(note) for note in mine["note"].dropna()), "nothing could be tested")
        yield Verdict("care", "Enrichment", f"{why[:1].upper()}{why[1:]}.")
        return
    count, cells = int((q < LIKELY).sum()), (mine["level"] == "cell").any()
    sentence = f"{count} of {len(q)} programs are used more in the target at q < {LIKELY}"
    sentence += f" (the smallest is {np.nanmin(q):.2g})."
    if cells:
        sentence += " Cells were tested as if they were independent: this is no evidence on donors."
    yield Verdict("good" if count and not cells else "care", "Enrichment", sentence)


def _untested(run: Run) -> Verdict:
    if not (run.config.get("samples") or {}).get("background"):
        return Verdict(
            "care", "Contrast",
            "There was no background: this is plain NMF, and nothing is specific to the target.",
        )  # fmt: skip
    return Verdict(
        "care", "Contrast",
        "Nothing in this run tests whether the target holds more than the background. Let alpha "
        "be chosen ('auto'), or give the groups (donors) of the samples.",
    )  # fmt: skip
