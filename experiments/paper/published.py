"""Published numbers, read from paper/published.toml, which says what they are."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.core.records import ROOT, RowError

PUBLISHED = ROOT / "paper" / "published.toml"


@dataclass(frozen=True)
class Number:
    """One published or checked ARI.

    Attributes
    ----------
    data, about, note : str
        The study: our configuration's name or another, what it is, what to know about it.
    series, at : str, float or None
        In a series of data sets, the argument that tells them apart and its value.
    kind : {"published", "checked"}
    method, loss, label, setting, source : str
        "" where not known.
    least, most : float
        Adjusted Rand index; equal unless a range was seen.
    """

    data: str
    about: str
    note: str
    series: str
    at: float | None
    kind: str
    method: str
    loss: str
    label: str
    setting: str
    source: str
    least: float
    most: float

    @property
    def text(self) -> str:
        """The ARI in words."""
        if self.least == self.most:
            return f"{self.least:.3f}"
        return f"{self.least:.3f} to {self.most:.3f}"


@dataclass(frozen=True)
class Published:
    """Every number, and the mark that tables put on the published ones."""

    mark: str
    numbers: tuple[Number, ...]

    def kind(self, number: Number) -> str:
        """What tables call a number's row."""
        return self.mark if number.kind == "published" else f"checked, {number.source}"


def _expand(study: dict[str, Any], labels: dict[str, str]) -> Iterator[Number]:
    """Yield the numbers of one study, each point of a series on its own."""
    for entry in study["numbers"]:
        if entry["kind"] not in ("published", "checked"):
            raise ValueError(f"kind {entry['kind']!r} is neither published nor checked")
        at = entry.get("at", [None])
        values = entry["ari"] if "at" in entry else [entry["ari"]]
        for point, ari in zip(at, values, strict=True):
            yield Number(
                data=study["data"],
                about=study["about"],
                note=study["note"],
                series=study.get("series", ""),
                at=point,
                kind=entry["kind"],
                method=entry["method"],
                loss=entry.get("loss", ""),
                label=labels[entry["method"]],
                setting=entry.get("setting", ""),
                source=entry["source"],
                least=float(ari),
                most=float(entry.get("ari_to", ari)),
            )


def read_published(path: Path = PUBLISHED) -> Published:
    """Read the published numbers.

    Raises
    ------
    RowError
        If the file is missing, is no TOML, or an entry lacks a key; the message names it.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        numbers = []
        for study in content["study"]:
            try:
                numbers += _expand(study, content["labels"])
            except (KeyError, ValueError, TypeError) as error:
                name = study.get("data", "a study without data")
                raise RowError(f"{path}, {name}: {type(error).__name__}: {error}") from None
        return Published(content["mark"], tuple(numbers))
    except KeyError as error:
        raise RowError(f"{path}: has no {error}") from None
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise RowError(f"{path}: published numbers cannot be read ({error})") from None
