"""`write`: the page of a run folder."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from bcnmf_jax.extras import require
from bcnmf_jax.report._contents import Run, read_run
from bcnmf_jax.report._embedding import samples
from bcnmf_jax.report._figures import by_score, path_charts, restarts_chart, selection_chart
from bcnmf_jax.report._programs import lookup, programs
from bcnmf_jax.report._trust import SUMMARY, judge, light
from bcnmf_jax.report.run_folder import REPORT
from bcnmf_jax.storage.files import write_bytes

NUMBERS = {"target": "target samples", "background": "background samples"}
UNKNOWN = {"line": None, "scale": None, "warnings": [], "features": None}
"""Keys that config.json may lack and the page shows."""
TABLES = {
    "selection": "Candidates",
    "path": "Fits of the sweep",
    "enrichment": "Enrichment",
    "background": "Checks of the background",
    "comparison": "Comparison with other methods",
}


def write(run: str | Path, out: str | Path | None = None) -> Path:
    """Write the page of a run: one HTML file that needs no network.

    Parameters
    ----------
    run : path
        A folder as `bcnmf_jax.run_folder` describes it.
    out : path, optional
        By default ``report.html`` in that folder.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    RunFolderError
        For a folder that is no run, or whose tables lack what they should have.
    ImportError
        Without jinja2 or pandas (the extra ``cli``).
    """
    page = _page()
    text = page.render(contents(read_run(run)))
    path = Path(run) / REPORT if out is None else Path(out)
    write_bytes(path, text.encode())
    return path


@cache
def _page() -> Any:
    """The template of the page, compiled once."""
    jinja = require("jinja2", "cli")
    environment = jinja.Environment(
        loader=jinja.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}
    environment.filters |= {"shown": shown, "percent": percent}
    return environment.get_template("page.html")


def _template(name: str) -> str:
    folder = resources.files("bcnmf_jax.report") / "template"
    return (folder / name).read_text(encoding="utf-8")


def contents(run: Run) -> dict[str, Any]:
    """Everything that the template shows."""
    config, fitted = run.config, run.fitted
    verdicts = judge(run)
    return {
        "run": run,
        "config": UNKNOWN | config,
        "result": {"diagnostics": None} | (config.get("result") or {}),
        "summary": _summary(run),
        "facts": _facts(run),
        "verdicts": verdicts,
        "light": light(verdicts) if verdicts else None,
        "lights": SUMMARY,
        "explained": _explained(run),
        "selection": selection_chart(run),
        "scored": by_score(run),
        "path": path_charts(run),
        "restarts": restarts_chart(run),
        "programs": programs(run, fitted) if fitted else [],
        "lookup": lookup(fitted) if fitted else None,
        "samples": samples(fitted) if fitted and fitted.shares.any() else None,
        "tables": {name: _table(run, name) for name in TABLES},
        "titles": TABLES,
        "model": f"{run.name}/model",
    }


def _summary(run: Run) -> str:
    config, size = run.config, run.config.get("samples") or {}
    parts = [f"{count:,} {NUMBERS.get(name, name)}" for name, count in size.items() if count]
    if config.get("features"):
        fitted = (config.get("result") or {}).get("fitted_features", config["features"])
        some = f" ({fitted:,} of them fitted)" if fitted < config["features"] else ""
        parts.append(f"{config['features']:,} features{some}")
    started = config.get("started")
    day = f", {datetime.fromisoformat(started):%d %B %Y}" if started else ""
    return f"{', '.join(parts)}{day}"


def _facts(run: Run) -> list[tuple[str, Any]]:
    """The fit in the words of the options."""
    config, result = run.config, run.config.get("result") or {}
    asked = config["parameters"]
    found: list[tuple[str, Any]] = []
    for name in ("objective", "alpha", "n_components", "n_background_components"):
        value = result.get(name, asked.get(name))
        if value is not None:
            chosen = " (chosen)" if asked.get(name) == "auto" and value != "auto" else ""
            text = shown(value).replace("_", " ")
            found.append((name.replace("_", " "), f"{text}{chosen}"))
    for name in ("alphas", "ranks", "loss", "n_restarts", "random_state"):
        if asked.get(name) is not None:
            found.append((name.replace("_", " "), shown(asked[name])))
    if result.get("result"):
        steps = result.get("steps")
        found.append(("ended", f"{result['result']} after {shown(steps)} steps"))
    if config.get("seconds") is not None:
        found.append(("took", f"{config['seconds']:,.1f} s on {config.get('device', 'cpu')}"))
    return found


def _explained(run: Run) -> list[tuple[str, int, float]]:
    """Explained variance of each set: its name, its colour and the share."""
    found = (run.config.get("result") or {}).get("diagnostics") or {}
    rows = [("target", 0, found.get("x_explained"))]
    y = found.get("y_explained")
    if isinstance(y, list):
        rows += [(f"background {i + 1}", 1, value) for i, value in enumerate(y)]
    else:
        rows.append(("background", 1, y))
    return [(name, colour, value) for name, colour, value in rows if value is not None]


def _table(run: Run, name: str) -> dict[str, Any] | None:
    if name not in run.tables:
        return None
    frame = run.tables[name]
    rows = frame.astype(object).where(frame.notna(), None).values.tolist()
    return {"columns": [str(c) for c in frame.columns], "rows": rows}


def shown(value: Any) -> str:
    """A value as text: fractions to three figures, nothing for what is missing."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e6 else f"{value:.3g}"
    if isinstance(value, list | tuple):
        return ", ".join(shown(v) for v in value)
    if isinstance(value, dict):
        return json.dumps(value, allow_nan=False)
    return str(value)


def percent(share: float) -> str:
    """A share as a percentage of two figures, which a line never breaks."""
    return f"{100 * share:.2g}\u00a0%" if share < 0.1 else f"{100 * share:.0f}\u00a0%"
