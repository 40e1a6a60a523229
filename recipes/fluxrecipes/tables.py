"""Tables with what is said about them: one for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table of words.

    Parameters
    ----------
    title : str
    heads : tuple of str
        Columns whose heads begin with '#' are of numbers.
    rows : tuple of tuple of str
    long : bool
        Too long for a terminal: only a page shows it.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    long: bool = False


@dataclass(frozen=True)
class Section:
    """Tables that belong together.

    Parameters
    ----------
    title : str
    tables : tuple of Table
    before, after : tuple of str
        Paragraphs, before the tables and after them; commands in `backquotes`.
    """

    title: str
    tables: tuple[Table, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def show_table(table: Table) -> None:
    """Print a table, as wide as it is."""
    from fluxengine import show

    show.table(table.title, table.heads, table.rows, wide=True)


def show_sections(sections: Iterable[Section]) -> None:
    """Print sections one after the other."""
    from fluxengine import show

    for at, section in enumerate(sections):
        if at:
            show.out.print()
        show.out.print(section.title, style="bold", markup=False)
        _show_paragraphs(section.before)
        for table in section.tables:
            if not table.long:
                show.out.print()
                show_table(table)
        if section.after:
            show.out.print()
        _show_paragraphs(section.after)


def _show_paragraphs(several: Iterable[str]) -> None:
    from fluxengine import show

    for paragraph in several:
        show.out.print(paragraph, markup=False)
