"""Pages about what is installed: sources, products, and run files to start from."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import to_jsonable_python

from fluxengine import registry, show
from fluxengine.declare import Dataset, Source, upstream_first
from fluxengine.files import NAMED
from fluxengine.grid import Axis
from fluxengine.registry import Recipe

RUN_FILE = """\
# Run file of {name}. `fluxforge plan -c run.yaml` says what it would do.
product: {name}
{period}
# Science: these choices, and nothing else of this file, decide whether a block must run again.
options:
{options}

# Where the input files are; a source without an entry is read from its provider.
archives:
{archives}

# Global attributes of what is published (ACDD): who answers for it.
attributes:
  creator_name: your name
  creator_email: you@example.org
  creator_url: https://example.org
  publisher_name: your institution
  publisher_email: you@example.org
  publisher_url: https://example.org
  institution: your institution
  project: your project
  acknowledgement: who made it possible

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
    if as_json:
        _json([_source_facts(source) for source in found])
        return
    rows = [(s.name, _span(s.grid.step_axis), s.title) for s in found]
    show.table("", ("source", "steps", "what"), rows)


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
        "licence": found.licence,
        "cite": found.cite,
        "variables": _variables(found),
    }


def _path(found: Source) -> str:
    """Where its first step lies, and what stands in for it."""
    key = found.grid.step_key(0)
    path = found.path(key)
    text = path if isinstance(path, str) else _shortened(path)
    if found.instead is None:
        return text
    other = found.instead(key)
    return f"{text}; till that is there, {other if isinstance(other, str) else _shortened(other)}"


def _shortened(paths: tuple[str, ...]) -> str:
    if len(paths) <= NAMED:
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
        "variables": _variables(made),
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
        f"  {o['name']}: {json.dumps(o['default'])}".ljust(30) + f"# {o['what']}"
        for o in _options(recipe)
    ]
    archives = {s.archive: s.home for s in found}
    return RUN_FILE.format(
        name=recipe.name,
        period=_period([s.grid.step_axis for s in found if s.grid.step_axis.is_time]),
        options="\n".join(options),
        archives="\n".join(f"  {name}: {home}" for name, home in archives.items()),
    )


def _options(recipe: Recipe) -> list[dict[str, Any]]:
    found = []
    for name, info in recipe.options.model_fields.items():
        choices = getattr(info.annotation, "__args__", ())
        what = (info.description or "") + (f" ({' | '.join(map(str, choices))})" if choices else "")
        found.append({"name": name, "default": to_jsonable_python(info.default), "what": what})
    return found


def _variables(dataset: Dataset) -> list[dict[str, Any]]:
    def packing(v: Any) -> str:
        p = v.packing
        return p.dtype if p.is_float or v.is_flag else f"{p.dtype} × {p.scale:g} + {p.offset:g}"

    return [
        {"name": v.name, "units": v.units, "packing": packing(v), "long_name": v.long_name}
        for v in dataset.variables
    ]


def _period(axes: list[Axis]) -> str:
    """The period that all sources share, as the run file gives it."""
    if not axes:
        return ""
    first = max(str(axis.day(0)) for axis in axes)
    last = min([str(axis.day(axis.size - 1)) for axis in axes if axis.size] or ["2020-12-31"])
    return f"period: {{first: {first}, last: {last}}}   # both days included\n"


def _span(axis: Axis) -> str:
    last = "" if axis.size is None else axis.name(axis.size - 1)
    return f"{axis.name(0)} … {last}".rstrip()


def _json(value: Any) -> None:
    print(json.dumps(value, indent=2))
