"""Tables of the record's chains, of the document that `chain_scores` makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from fluxengine import show as shown
from fluxrecipes import vocabulary as cf
from fluxrecipes.skill.chain import SCORED, WHOLE

Row = Mapping[str, Any]

_UNITS = {v.name: v.units for v in (*cf.NEAR_SURFACE, *cf.FLUXES)}
_SCALES = {"kg kg-1": ("g/kg", 1000.0), "W m-2": ("W m-2", 1.0), "K": ("K", 1.0)}
_KINDS = {
    "all": "all cells",
    "observed": "observed",
    "filled": "filled",
    "swath": "swath gap",
    "rain": "rain loss",
    "coast": "coast",
}


def show(found: Mapping[str, Any]) -> None:
    """Print what came of scoring chains, each by a letter."""
    letters = dict(zip(found["chains"], ascii_uppercase, strict=False))
    for name, letter in letters.items():
        shown.out.print(f"Chain {letter}: {name}", markup=False, soft_wrap=True)
    found = _lettered(found, letters)
    for variable in SCORED:
        name = _title(variable)
        _table(f"Chain against the truth: {name}", _CELLS, _cells(found["cells"], variable))
        _table(f"Chain against reports: {name}", _REPORTS, _reports(found["reports"], variable))
        _table(f"Correction: {name}", _CORRECTIONS, _corrections(found["corrections"], variable))
        for chain, scores in found["budgets"].items():
            heads = ["what is true", *(f"#{_KINDS[k]}" for k in _KINDS), "#of MSE", "95 %"]
            title = f"Error budget of chain {chain}: RMSE of {name}"
            _table(title, heads, _budget(scores, variable))
        _table(f"Standard errors: {name}", _ERRORS, _errors(found["standard_errors"], variable))
    _footer(found)


def _lettered(value: Any, letters: Mapping[str, str]) -> Any:
    """The same with letters for chains, as keys and as values."""
    if isinstance(value, Mapping):
        return {letters.get(name, name): _lettered(one, letters) for name, one in value.items()}
    if isinstance(value, list):
        return [_lettered(one, letters) for one in value]
    return letters.get(value, value) if isinstance(value, str) else value


def _footer(found: Mapping[str, Any]) -> None:
    lines = ["of A: divided by chain A. Ranges: 95 %, by resampling ten-day blocks."]
    if found["reports"]:
        lines.append(
            "report: RMSE of the reports as an estimate of the cell; without: what is left then."
        )
    if found["corrections"]:
        lines.append(
            "Correction: of the ocean against the truth, of stations against their reports;"
            " lower: part by which the RMSE is lower, wanted 15 %; spread: standard deviation over"
            " that of the reference, wanted 0.95; ideal: RMSE without the conditional error of the"
            " satellite's wind; removed: of the mean square that it adds; month: largest mean"
            " error of one, before, after."
        )
    if found["standard_errors"]:
        lines.append("Standard errors of stations: of the difference to reports, with their own.")
    if found["budgets"]:
        lines.append(
            "of MSE: part by which the mean square error of all cells is lower than the chain's."
            " Parts need not add up."
        )
    if not found["has_reports"]:
        lines.append("No reports: the store has no table `insitu`, or they were left out.")
    costs = ", ".join(f"{n} {s:.1f} s" for n, s in found["cpu_seconds_a_day"].items())
    shown.out.print("\n" + "\n".join([*lines, f"Processor time of a day, both passes: {costs}"]))


def _table(title: str, heads: Sequence[str], rows: Iterator[tuple[str, ...]]) -> None:
    if there := list(rows):
        shown.out.print()
        shown.table(title, heads, there, wide=True)


def _title(variable: str) -> str:
    return f"{variable.replace('_', ' ')} [{_SCALES[_UNITS[variable]][0]}]"


def _of(rows: Sequence[Row], variable: str) -> list[Row]:
    return [row for row in rows if row["variable"] == variable and row["points"]]


def _number(value: float | None, variable: str = "", digits: int = 2) -> str:
    scale = _SCALES[_UNITS[variable]][1] if variable else 1.0
    return "" if value is None else f"{value * scale:.{digits}f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


_CELLS = ("cells", "chain", "#number", "#RMSE", "95 %", "#of A", "95 %", "#bias", "#r")


def _cells(rows: Sequence[Row], variable: str) -> Iterator[tuple[str, ...]]:
    order = list(_KINDS)
    for row in sorted(_of(rows, variable), key=lambda row: order.index(row["cause"])):
        yield (
            _KINDS[row["cause"]],
            row["method"],
            f"{row['points']:,}",
            _number(row["rmse"]["value"], variable),
            _range(row["rmse"], variable),
            _number(row["ratio"]["value"], digits=3),
            _range(row["ratio"], digits=3),
            _number(row["bias"], variable),
            _number(row["correlation"], digits=3),
        )


def _range(interval: Row, variable: str = "", digits: int = 2) -> str:
    if interval["low"] is None or interval["low"] == interval["high"]:  # of one block of days
        return ""
    low, high = (_number(interval[end], variable, digits) for end in ("low", "high"))
    return f"{low}–{high}"


_REPORTS = ("points", "year", "chain", "#number", "#RMSE", "#report", "#without", "#bias", "#r")


def _reports(rows: Sequence[Row], variable: str) -> Iterator[tuple[str, ...]]:
    for row in _of(rows, variable):
        sizes = (_number(row[n], variable) for n in ("rmse", "of_report", "rest", "bias"))
        who = (row["place"], row["year"], row["chain"], f"{row['points']:,}")
        yield (*who, *sizes, _number(row["correlation"], digits=3))


_CORRECTIONS = (
    "points", "year", "cells", "chain", "#number", "#before", "#after", "#lower",
    "#slope", "#spread", "#95th", "#99th", "#ideal", "#removed", "#month",
)  # fmt: skip


def _corrections(rows: Sequence[Row], variable: str) -> Iterator[tuple[str, ...]]:
    for row in _of(rows, variable):
        yield (
            *(row[name] for name in ("place", "year")),
            _KINDS[row["kind"]],
            row["chain"],
            f"{row['points']:,}",
            *(_number(row[name]) for name in ("before", "after")),
            _percent(row["lower"]),
            *(_number(row[name]) for name in ("slope", "spread")),
            *(f"{value:+.1f}" for value in row["percentiles"]),
            _number(row["ideal"]),
            _percent(row["removed"]),
            f"{_worst(row['months_before']):+.1f}, {_worst(row['months_after']):+.1f}",
        )


def _worst(months: Mapping[str, float]) -> float:
    return max(months.values(), key=abs)


def _budget(rows: Sequence[Row], variable: str) -> Iterator[tuple[str, ...]]:
    mine = {(row["method"], row["cause"]): row for row in _of(rows, variable)}
    for what in dict.fromkeys(method for method, _ in mine):
        by_kind = (mine.get((what, kind)) for kind in _KINDS)
        errors = (_number(row["rmse"]["value"], variable) if row else "" for row in by_kind)
        ratio = mine[what, "all"]["ratio"]
        parts = ("", "") if what == WHOLE else _shares(ratio)
        yield (what if what != WHOLE else "nothing: the chain", *errors, *parts)


def _shares(ratio: Row) -> tuple[str, str]:
    """Part of the mean square error that goes, and its range, from the ratio of RMSEs."""
    share, high, low = (None if r is None else 1.0 - r**2 for r in (
        ratio["value"], ratio["low"], ratio["high"]))  # fmt: skip
    between = "" if low is None or low == high else f"{_percent(low)} to {_percent(high)}"
    return _percent(share), between


_ERRORS = (
    "points", "year", "kind", "chain", "#number", "#in 68", "#in 95", "#CRPS", "#width", "",
)  # fmt: skip


def _errors(rows: Sequence[Row], variable: str) -> Iterator[tuple[str, ...]]:
    for row in _of(rows, variable):
        yield (
            *(row[name] for name in ("place", "year", "kind", "chain")),
            f"{row['points']:,}",
            *(_number(row[name]) for name in ("inside68", "inside95")),
            *(_number(row[name], variable) for name in ("crps", "width")),
            "holds" if row["holds"] else "does not hold",
        )
