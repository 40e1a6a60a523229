"""What `fluxforge validate --models` tells: one document, shown as tables or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fluxengine import show
from fluxengine.repository import storage_errors
from fluxrecipes import vocabulary as cf
from fluxrecipes.skill import protocol
from fluxrecipes.skill.network import digest
from fluxrecipes.skill.protocol import LOG, TEST_YEAR, WITHHELD, Opening
from fluxrecipes.skill.settings import Validation

Document = dict[str, Any]

UNITS = {v.name: v.units for v in (*cf.MICROWAVE, *cf.NEAR_SURFACE, *cf.FLUXES)}
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
    weights = _digests(asked.weights)
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
    if asked.chain is not None:
        from fluxrecipes.skill import chain_scores

        tell("Chain: running the record's stages, as they are and with the truth in turn.")
        document["chain"] = chain_scores.judge(asked).as_json()
    return document


def _digests(paths: Sequence[Path]) -> dict[str, str]:
    """By file, with its folder where several have one name."""
    names = [path.name for path in paths]
    return {str(p) if names.count(p.name) > 1 else p.name: digest(p) for p in paths}


def held_out(asked: Validation) -> str:
    """What is opened of what is held out, in words; empty where nothing is."""
    opened = [f"{TEST_YEAR.first} to {TEST_YEAR.last}"] if protocol.touches(asked.score) else []
    if any(part is not None and part.stations for part in (asked.retrieval, asked.chain)):
        opened.append("stations " + ", ".join(WITHHELD))
    return "; ".join(opened)


def write(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the numbers of `of` into a folder; give their path."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        numbers = folder / "models.json"
        numbers.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
        return [numbers]


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
    if "chain" in document:
        from fluxrecipes.skill import chain_tables

        chain_tables.show(document["chain"])


def _gaps(found: Mapping[str, Any]) -> None:
    scores: Sequence[Mapping[str, Any]] = [one for one in found["scores"] if one["points"]]
    for variable in dict.fromkeys(score["variable"] for score in scores):
        mine = [score for score in scores if score["variable"] == variable]
        title = f"{variable.replace('_', ' ')} [{UNITS[variable]}]"
        known = [n for n in _HEADS if any(n in s for s in mine)]
        heads = ["gaps", "method", "#cells", "#RMSE", "#of best OI", "95 %", "#bias", "#r"]
        heads += [head for name in known for head in _HEADS[name]]
        show.out.print()
        show.table(title, heads, [_gap_row(score, known) for score in mine], wide=True)
        certain = [score for score in mine if "inside68" in score]
        if certain:
            show.out.print()
            heads = ["gaps", "method", "#in 68", "#in 95", "#CRPS", "#width"]
            show.table(f"Standard errors: {title}", heads, [_certainty(one) for one in certain])
    costs = found["cpu_seconds_a_day"]
    show.out.print(
        "\nOf best OI: divided by the optimal interpolation that is best at this score; of OI"
        " alike: by the one with the same days and passes. 95 %: by resampling blocks of ten days."
        "\nProcessor time of a day, both passes: "
        + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in costs.items())
    )


_HEADS = {
    "alike": ("#of OI alike", "95 %"),
    "log_rmse": ("#log", "#of best OI"),
    "brier": ("#Brier", "#of best OI"),
}


def _gap_row(score: Mapping[str, Any], known: Sequence[str]) -> tuple[str, ...]:
    row = [TITLES[score["cause"]], score["method"], f"{score['points']:,}"]
    row += [_of(score, "rmse", 3), _of(score, "ratio", 3), _range(score["ratio"], 3)]
    row += [_number(score["bias"], 3), _number(score["correlation"], 2)]
    for name in known:
        if name == "alike":
            row += [_of(score, name, 3), _range(score[name], 3) if name in score else ""]
        else:
            ratio = name.replace("_rmse", "") + "_ratio"
            row += [_of(score, name, 4 if name == "brier" else 3), _of(score, ratio, 3)]
    return tuple(row)


def _certainty(score: Mapping[str, Any]) -> tuple[str, ...]:
    parts = [_number(score[name], 2) for name in ("inside68", "inside95")]
    sizes = [_number(score[name], 3) for name in ("crps", "width")]
    return (TITLES[score["cause"]], score["method"], *parts, *sizes)


def _of(score: Mapping[str, Any], name: str, digits: int) -> str:
    return _number(score[name]["value"], digits) if name in score else ""


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _range(interval: Mapping[str, Any], digits: int) -> str:
    if interval["low"] is None:
        return ""
    return f"{interval['low']:.{digits}f}–{interval['high']:.{digits}f}"


def _retrieval(found: Mapping[str, Any]) -> None:
    heads = ("points", "year", "method", "#number", "#RMSE", "#bias", "#r", "#gap closed")
    for variable in dict.fromkeys(score["variable"] for score in found["scores"]):
        unit, scale = SCALES.get(UNITS[variable], (UNITS[variable], 1.0))
        name = f"{variable.replace('_', ' ')} [{unit}]"
        mine = [score for score in found["scores"] if score["variable"] == variable]
        show.out.print()
        show.table(name, heads, [_retrieval_row(score, scale) for score in mine], wide=True)
        errors = [one for one in found["standard_errors"] if one["variable"] == variable]
        if errors:
            show.out.print()
            columns = ("points", "method", "#number", "#in 68", "#in 95", "#CRPS", "#width", "")
            rows = [_error_row(one, scale) for one in errors]
            show.table(f"Standard errors: {name}", columns, rows, wide=True)
    show.out.print(
        "\nGap closed: share of the mean square error between quadratic regression and oracle."
    )


def _retrieval_row(score: Mapping[str, Any], scale: float) -> tuple[str, ...]:
    closed = score["closed"]
    return (
        score["place"],
        score["year"],
        score["method"],
        f"{score['points']:,}",
        _number(_scaled(score["rmse"], scale), 3),
        _number(_scaled(score["bias"], scale), 3),
        _number(score["correlation"], 3),
        "" if closed is None else f"{100 * closed:.0f} %",
    )


def _error_row(one: Mapping[str, Any], scale: float) -> tuple[str, ...]:
    return (
        one["kind"],
        one["method"],
        f"{one['points']:,}",
        *(_number(one[n], 3) for n in ("inside68", "inside95")),
        *(_number(_scaled(one[n], scale), 3) for n in ("crps", "width")),
        "holds" if one["holds"] else "does not hold",
    )


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale
