"""Pages about what is installed: sources, products, and run files to start from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any, Literal, get_args, get_origin

from pydantic_core import to_jsonable_python

from fluxengine import registry, show
from fluxengine.declare import Dataset, Paths, Source, Variable, upstream_first
from fluxengine.files import NAMED
from fluxengine.grid import Axis
from fluxengine.registry import Recipe
from fluxengine.tables import Feed, Table, is_name

RUN_FILE = """\
# Run file of {name}. `fluxforge plan -c run.yaml` says what it would do.
product: {name}
{period}
# Science: these choices, and nothing else of this file, decide whether a block must run again.
options:
{options}

# Where the input files are; a source without an entry is read from its provider. NetCDF files in a
# folder or bucket need not be copied: `oisst: {{root: s3://bucket/oisst, by: reference}}`.
archives:
{archives}

# Global attributes of what is published (ACDD): who answers for it. Fill in what applies.
attributes:
  # creator_name: your name
  # creator_email: you@example.org
  # creator_url: https://example.org
  # publisher_name: your institution
  # publisher_email: you@example.org
  # publisher_url: https://example.org
  # institution: your institution
  # project: your project
  # acknowledgement: who made it possible

# Where it runs: never changes a value. The first profile is the default.
profiles:
  local:
    store: ./store            # a folder that this command makes, or s3://bucket/prefix
    cluster: {{kind: local, workers: 2, threads: 1, memory: 4GiB}}
  serial:
    store: ./store
    cluster: {{kind: serial}}   # in this process, for debugging
  # Elsewhere: infra/ has a page each. `options` are the names of the library that starts workers.
  # slurm:
  #   store: /scratch/me/store  # seen by every node
  #   cluster: {{kind: slurm, workers: 40, memory: 8GiB, options: {{queue: short, interface: ib0}}}}
  # ssh:
  #   store: /shared/store
  #   cluster: {{kind: ssh, workers: 8, options: {{hosts: [head, node1, node2],
  #             scheduler_options: {{interface: eth1}}}}}}
  # kubernetes:
  #   store: s3://my-bucket/store   # credentials come from the environment
  #   cluster: {{kind: kubernetes, workers: 100, memory: 8GiB,
  #             options: {{image: "registry.example/fluxforge:0.1.0", namespace: flux}}}}
  # coiled:
  #   store: s3://my-bucket/store
  #   cluster: {{kind: coiled, workers: 100, memory: 8GiB, options: {{region: us-west-2}}}}
"""


def sources(as_json: bool) -> None:
    """All sources, a line each."""
    found = [registry.source(name) for name in registry.source_names()]
    tables = [registry.table(name) for name in registry.table_names()]
    if as_json:
        facts = [_source_facts(source) for source in found]
        _json(facts + [_table_facts(one) for one in tables])
        return
    rows = [(s.name, _span(s.grid.step_axis), s.title) for s in found]
    show.table("", ("source", "steps", "what"), rows)
    if tables:
        lines = [(t.name, ", ".join(feed.name for feed in t.feeds), t.title) for t in tables]
        show.table("\ntables of reports", ("table", "feeds", "what"), lines)


def source(found: Source, as_json: bool) -> None:
    """One source in full."""
    facts = _source_facts(found)
    if as_json:
        _json(facts)
        return
    variables = facts.pop("variables")
    show.table("", ("", ""), facts.items())
    _show_variables(variables)


def _source_facts(found: Source) -> dict[str, Any]:
    axis = found.grid.step_axis
    return {
        "name": found.name,
        "what": found.title,
        "provider": found.provider,
        "steps": _span(axis),
        "grid": " × ".join(f"{n} {a.size or '…'}" for n, a in found.grid.axes.items()),
        "archive": f"{found.archive} (by default {found.home})",
        "path": _path(found),
        "by reference": ", ".join(r.variable for r in found.references) or "no, by copy only",
        "licence": found.licence,
        "cite": found.cite,
        "variables": _variables(found.variables),
    }


def table(found: Table, as_json: bool) -> None:
    """One table of reports in full: its feeds and its columns."""
    facts = _table_facts(found)
    if as_json:
        _json(facts)
        return
    show.table(
        "", ("", ""), [(name, facts[name]) for name in ("name", "what", "summary", "merges")]
    )
    for feed in facts["feeds"]:
        show.table(f"\n{feed['name']}", ("", ""), list(feed.items())[1:])
    _show_variables(facts["variables"])


def _table_facts(found: Table) -> dict[str, Any]:
    return {
        "name": found.name,
        "what": found.title,
        "summary": found.summary,
        "merges": ", ".join(("time", *found.merges)) if found.merges else "nothing",
        "feeds": [_feed_facts(feed) for feed in found.feeds],
        "variables": _variables(found.columns),
    }


def _feed_facts(feed: Feed) -> dict[str, str]:
    return {
        "name": feed.name,
        "what": feed.title,
        "provider": feed.provider,
        "archive": f"{feed.archive} (by default {feed.home})",
        "files": " ".join(feed.patterns),
        "licence": feed.licence,
        "cite": feed.cite,
    }


def _path(found: Source) -> str:
    """Where its first step lies, and what stands in for it."""
    key = found.grid.step_key(0)
    others = [_shortened(instead(key), most=2) for instead in found.instead]
    return "; till that is there, ".join([_shortened(found.path(key)), *others])


def _shortened(paths: Paths, most: int = NAMED) -> str:
    if isinstance(paths, str):
        return paths
    if len(paths) <= most:
        return ", ".join(paths)
    return f"{', '.join(paths[:2])} … {paths[-1]} ({len(paths)} files)"


def products(as_json: bool) -> None:
    """All products, a line each."""
    found = [registry.recipe(name) for name in registry.product_names()]
    facts = [{"name": r.name, "what": r.product({}).title} for r in found]
    if as_json:
        _json(facts)
        return
    show.table("", ("product", "what"), [(f["name"], f["what"]) for f in facts])


def product(recipe: Recipe, as_json: bool) -> None:
    """One product in full: options, datasets it is made through, variables."""
    made = recipe.product({})
    chain = upstream_first(made)
    options = _options(recipe)
    facts = {
        "name": recipe.name,
        "what": made.title,
        "summary": made.summary,
        "notice": made.attrs.get("notice", ""),
        "options": options,
        "made through": [_chain_row(d) for d in chain],
        "variables": _variables(made.variables),
    }
    if as_json:
        _json(facts)
        return
    show.table("", ("", ""), [(k, facts[k]) for k in ("name", "what", "summary", "notice")])
    rows = [(o["name"], o["default"], o["what"]) for o in options]
    show.table("\noptions", ("name", "default", "what"), rows)
    show.table("\nmade through", ("dataset", "what"), facts["made through"])
    _show_variables(facts["variables"])


def _chain_row(dataset: Dataset) -> tuple[str, str]:
    return dataset.name, dataset.title


def _show_variables(variables: list[dict[str, Any]]) -> None:
    rows = [(v["name"], v["units"], v["packing"], v["long_name"]) for v in variables]
    show.table("\nvariables", ("name", "units", "packing", "what"), rows)


def run_file(recipe: Recipe) -> str:
    """A complete, commented run file."""
    made = recipe.product({})
    found = [d for d in upstream_first(made) if isinstance(d, Source)]
    options = [
        f"  {o['name']}: {json.dumps(o['default'])}".ljust(28) + f"  # {o['what']}"
        for o in _options(recipe)
    ]
    archives = {s.archive: _root(s) for s in found}
    return RUN_FILE.format(
        name=recipe.name,
        period=_period(made),
        options="\n".join(options),
        archives="\n".join(f"  {name}: {home}" for name, home in archives.items()),
    )


def _root(source: Source) -> str:
    if source.on_request:
        return f"./{source.archive}  # what you asked for at {source.home}"
    return source.home


def _options(recipe: Recipe) -> list[dict[str, Any]]:
    found = []
    for name, info in recipe.options.model_fields.items():
        choices = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
        what = (info.description or "") + (f" ({' | '.join(map(str, choices))})" if choices else "")
        default = to_jsonable_python(info.get_default(call_default_factory=True))
        found.append({"name": name, "default": default, "what": what})
    return found


def _variables(variables: Iterable[Variable]) -> list[dict[str, Any]]:
    def packing(v: Any) -> str:
        p = v.packing
        plain = p.is_float or v.is_flag or is_name(v)
        return p.dtype if plain else f"{p.dtype} × {p.scale:g} + {p.offset:g}"

    return [
        {"name": v.name, "units": v.units, "packing": packing(v), "long_name": v.long_name}
        for v in variables
    ]


def _period(product: Dataset) -> str:
    """The period that a product's inputs cover, as the run file gives it."""
    first, last = _cover(product)
    if first is None:
        return ""
    return f"period: {{first: {first}, last: {last or '2020-12-31'}}}   # both days included\n"


def _cover(dataset: Dataset) -> tuple[date | None, date | None]:
    """First and last day that a dataset can have; None where nothing limits it."""
    axis = dataset.grid.step_axis
    if isinstance(dataset, Source):
        if not axis.is_time:
            return None, None
        return axis.day(0), axis.day(axis.size - 1) if axis.size else None
    whole = [_cover(read.dataset) for read in dataset.reads if not read.partial]
    parts = [_cover(read.dataset) for read in dataset.reads if read.partial]
    if parts:  # one of them is enough
        ends = [last for _, last in parts]
        firsts = [first for first, _ in parts if first]
        whole.append((min(firsts), None if None in ends else max(filter(None, ends))))
    firsts, lasts = ([end for end in side if end] for side in zip(*whole, strict=True))
    return max(firsts, default=None), min(lasts, default=None)


def _span(axis: Axis) -> str:
    last = "" if axis.size is None else axis.name(axis.size - 1)
    return f"{axis.name(0)} … {last}".rstrip()


def _json(value: Any) -> None:
    print(json.dumps(value, indent=2))
