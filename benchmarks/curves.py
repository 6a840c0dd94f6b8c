"""The picture of `benchmarks quality`: how far each program is from the best value, over time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bcnmf_jax.storage.files import whole_file

COLUMNS = 4
COLOURS = {"ours": "#0072b2", "plain MU": "#d55e00"}
"""Of the Okabe-Ito palette; every other program is grey."""


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """One panel a problem, from the rows that hold curves (medians over some starts)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels: dict[str, dict[str, list]] = {}
    for row in rows:
        if row.get("curves"):
            panels.setdefault(row["name"].partition(": ")[0], {}).update(row["curves"])
    if not panels:
        return
    lines = -(-len(panels) // COLUMNS)
    figure, axes = plt.subplots(
        lines, COLUMNS, figsize=(11, 2.1 * lines), layout="constrained", squeeze=False
    )
    for ax, (name, curves) in zip(axes.flat, panels.items(), strict=False):
        for program, points in curves.items():
            seconds, gaps = zip(*points, strict=True)
            colour = COLOURS.get(program, "#777777")
            shown = [max(100 * gap, 1e-2) for gap in gaps]
            ax.loglog(seconds, shown, color=colour, label=program.replace(", sparse", ""), lw=1.6)
        ax.axhline(1, color="#aaaaaa", lw=0.8, ls=":")
        ax.set_title(name, fontsize=8)
        ax.set_ylim(8e-3, 150)
        ax.tick_params(labelsize=7)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("gap (%)", fontsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("seconds", fontsize=8)
    handles: dict[str, Any] = {}
    for ax in axes.flat:
        handles |= {label: h for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4, fontsize=8)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110, metadata={"Software": None})
    plt.close(figure)
