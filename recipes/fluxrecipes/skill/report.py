"""What `fluxforge validate --models` tells: one document, shown as tables or as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fluxengine import show
from fluxrecipes import vocabulary as cf
from fluxrecipes.skill import protocol
from fluxrecipes.skill.network import digest
from fluxrecipes.skill.protocol import LOG, TEST_YEAR, WITHHELD, Opening
from fluxrecipes.skill.settings import Validation

Document = dict[str, Any]

UNITS = {v.name: v.units for v in (*cf.MICROWAVE, *cf.NEAR_SURFACE)}
SCALES = {"kg kg-1": ("g/kg", 1000.0)}
TITLES = {"swath": "swath gap", "rain": "rain loss", "coast": "coast", "all": "all gaps"}


def of(asked: Validation, tell: Callable[[str], None] = lambda line: None) -> Document:
    """Score all that is asked for; held-out data are opened with a line in the log.

    Parameters
    ----------
    asked : Validation
    tell : callable, optional
        Takes a line on what is being done.

    Returns
    -------
    dict
        Fit for JSON.
    """
    weights = {path.name: digest(path) for path in asked.weights}
    document: Document = {
        "fit": [f"{one.first} to {one.last}" for one in asked.fit],
        "score": [f"{one.first} to {one.last}" for one in asked.score],
        "every": asked.every,
        "simulated": asked.truth is not None,
        "weights": weights,
    }
    if what := held_out(asked):
        before = protocol.opened(asked.log, Opening(what, asked.purpose, weights))
        document["opened_before"] = before
        tell(f"{what} is held out: opened {before} times before, now written into {LOG}.")
    if asked.gaps is not None:
        from fluxrecipes.skill import gaps

        tell("Gap filling: fitting the baselines, then filling.")
        document["gaps"] = gaps.judge(asked).as_json()
    if asked.retrieval is not None:
        from fluxrecipes.skill import retrieval

        tell("Retrieval: drawing points, fitting, scoring.")
        document["retrieval"] = retrieval.judge(asked).as_json()
    return document


def held_out(asked: Validation) -> str:
    """What is opened of what is held out, in words; empty where nothing is."""
    opened = [f"{TEST_YEAR.first} to {TEST_YEAR.last}"] if protocol.touches(asked.score) else []
    if asked.retrieval is not None and asked.retrieval.stations:
        opened.append("stations " + ", ".join(WITHHELD))
    return "; ".join(opened)


def tables(document: Mapping[str, Any]) -> None:
    """Print a document of `of`."""
    world = "SIMULATED world" if document["simulated"] else "observations that were hidden"
    periods = ", ".join(document["score"])
    show.out.print(f"[bold]Skill on {world}[/], every {document['every']} days of {periods}")
    if "opened_before" in document:
        show.out.print(f"Held out: opened {document['opened_before']} times before this.")
    if "gaps" in document:
        _gaps(document["gaps"])
    if "retrieval" in document:
        _retrieval(document["retrieval"])


def _gaps(found: Mapping[str, Any]) -> None:
    scores: Sequence[Mapping[str, Any]] = found["scores"]
    for variable in dict.fromkeys(score["variable"] for score in scores):
        mine = [score for score in scores if score["variable"] == variable]
        known = [n for n in _HEADS if any(n in s for s in mine)]
        heads = ["gaps", "method", "#cells", "#RMSE", "95 %", "#of best OI", "95 %", "#bias", "#r"]
        heads += [head for name in known for head in _HEADS[name]]
        rows = [_gap_row(score, known) for score in mine if score["points"]]
        show.out.print()
        show.table(f"{variable.replace('_', ' ')} [{UNITS[variable]}]", heads, rows)
    costs = found["cpu_seconds_a_day"]
    show.out.print()
    show.table(
        "Processor time, both passes of a day",
        ("method", "#s"),
        [(name, f"{seconds:.2f}") for name, seconds in costs.items()],
    )
    show.out.print(
        "95 %: by resampling blocks of ten days. Of best OI: divided by the optimal interpolation"
        " that is best at this score; of OI alike: by the one with the same days and passes."
    )


_HEADS = {
    "alike": ("#of OI alike", "95 %"),
    "log_rmse": ("#log", "#of best OI"),
    "brier": ("#Brier", "#of best OI"),
    "inside68": ("#in 68", "#in 95", "#CRPS", "#width"),
}


def _gap_row(score: Mapping[str, Any], known: Sequence[str]) -> tuple[str, ...]:
    row = [TITLES[score["cause"]], score["method"], f"{score['points']:,}"]
    row += [_number(score["rmse"]["value"], 3), _range(score["rmse"], 3)]
    row += [_number(score["ratio"]["value"], 3), _range(score["ratio"], 3)]
    row += [_number(score["bias"], 3), _number(score["correlation"], 2)]
    for name in known:
        if name == "alike":
            row += [_of(score, name, 3), _range(score[name], 3) if name in score else ""]
        elif name == "inside68":
            row += [_number(score.get(n), 2) for n in ("inside68", "inside95")]
            row += [_number(score.get(n), 3) for n in ("crps", "width")]
        else:
            ratio = name.replace("_rmse", "") + "_ratio"
            row += [_of(score, name, 4 if name == "brier" else 3), _of(score, ratio, 3)]
    return tuple(row)


def _of(score: Mapping[str, Any], name: str, digits: int) -> str:
    return _number(score[name]["value"], digits) if name in score else ""


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _range(interval: Mapping[str, Any], digits: int) -> str:
    if interval["low"] is None:
        return ""
    return f"{interval['low']:.{digits}f}–{interval['high']:.{digits}f}"


def _retrieval(found: Mapping[str, Any]) -> None:
    heads = ("", "stations", "year", "method", "#points", "#RMSE", "#bias", "#r", "#gap closed")
    rows = []
    for score in found["scores"]:
        unit, scale = SCALES.get(UNITS[score["variable"]], (UNITS[score["variable"]], 1.0))
        closed = score["closed"]
        rows.append(
            (
                f"{score['variable'].replace('_', ' ')} [{unit}]",
                score["place"],
                score["year"],
                score["method"],
                f"{score['points']:,}",
                _number(_scaled(score["rmse"], scale), 3),
                _number(_scaled(score["bias"], scale), 3),
                _number(score["correlation"], 3),
                "" if closed is None else f"{100 * closed:.0f} %",
            )
        )
    show.out.print()
    show.table("Retrieval of near-surface air", heads, rows)
    show.out.print(
        "Gap closed: share of the mean square error between quadratic regression and oracle."
    )


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale
