"""The tables of validation on the page: those that the terminal has, cell by cell, and harmless."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import productworld
import pytest
from reportworld import HOSTILE

from fluxengine import config
from fluxrecipes.matchups import file, report, tables
from fluxrecipes.report import findings, page, subject
from fluxrecipes.tables import Section


class Tables(HTMLParser):
    """Of the scores: headings, paragraphs, and tables as captions, heads and rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.paragraphs: list[str] = []
        self.found: list[tuple[str, list[str], list[list[str]]]] = []
        self.boxes: list[dict[str, str | None]] = []
        self._section, self._text, self._row = "", "", list[str]()
        self._box: dict[str, str | None] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "section":
            self._section = str(given["id"])
        if tag == "div":
            self._box = given
        if tag == "table" and self._section == "scores":
            self.found.append(("", [], []))
            self.boxes.append(self._box)
        if tag == "tr":
            self._row = []
        if tag != "code":
            self._text = ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if self._section != "scores":
            return
        if tag == "h3":
            self.headings.append(self._text)
        if tag == "p":
            self.paragraphs.append(self._text)
        if tag == "caption":
            self.found[-1] = (self._text, *self.found[-1][1:])
        if tag in ("th", "td"):
            self._row.append(self._text)
        if tag == "tr":
            _, heads, rows = self.found[-1]
            (rows.append if heads else heads.extend)(self._row)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def text(whole: Path) -> str:
    return whole.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def on_page(text: str) -> Tables:
    return Tables(text)


@pytest.fixture(scope="module")
def sections(matchups: Path) -> list[Section]:
    return list(tables.sections(report.of(matchups, held_out=False, purpose="")))


def test_the_tables_of_the_page_are_those_of_the_terminal(
    on_page: Tables, sections: list[Section]
) -> None:
    several = [table for section in sections for table in section.tables]
    assert len(several) > 20
    assert [title for title, *_ in on_page.found] == [one.title for one in several]
    for (_, heads, rows), one in zip(on_page.found, several, strict=True):
        assert heads == [head.lstrip("#") for head in one.heads]
        assert rows == [list(row) for row in one.rows]
    assert on_page.headings[: len(sections)] == [one.title for one in sections]
    for section in sections:
        for paragraph in (*section.before, *section.after):
            assert paragraph.replace("`", "") in on_page.paragraphs


def test_all_that_was_asked_for_is_there(on_page: Tables) -> None:
    said = " ".join(on_page.headings)
    for words in (
        "Table 4 of the paper",
        "by pass, fill state",
        "Equivalent neutral wind",
        "Daily products against daily means",
        "Daily products by fill state, wind, cloud",
        "Triple collocation",
        "Monthly means at stations",
    ):
        assert words in said, words
    figures = {row[1] for title, _, rows in on_page.found if "Root mean" in title for row in rows}
    assert figures == {"published, real", "measured here, SIMULATED"}


def test_each_table_is_in_a_box_that_scrolls_and_has_a_name(on_page: Tables) -> None:
    for (title, *_), box in zip(on_page.found, on_page.boxes, strict=True):
        assert box == {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": title}


def test_the_world_s_name_is_told_and_does_no_harm(text: str, on_page: Tables) -> None:
    assert HOSTILE not in text
    assert HOSTILE in on_page.headings[0]


def test_what_the_scores_are_of_is_told_and_whether_it_is_this_record(
    text: str, on_page: Tables, world: Path
) -> None:
    told = "Reports beside another record, 2014-01-01 to 2018-12-31; of the store elsewhere/<b>."
    assert told in on_page.paragraphs and "elsewhere/<b>" not in text
    (remark,) = (one for one in on_page.paragraphs if one.startswith("Of another record"))
    assert f"the matchups are of elsewhere/<b>, and this record is of {world / 'store'}" in remark
    assert "are of 2014-01-01 to 2018-12-31, and this report of 2020-02-01 to 2020-03-11" in remark


def test_nothing_is_remarked_where_scores_are_of_this_record(world: Path, short: Path) -> None:
    loaded = config.load(short)
    about = subject.of(loaded, loaded.profile(None).place)
    title = file.TITLE.format(first=about.first, last=about.last)
    same = {"title": title, "source": str(loaded.profile(None).place)}
    stored = productworld.stored()._replace(attrs=same)
    validated = SimpleNamespace(stored=stored)
    assert findings.unlike(validated, about) == ()  # type: ignore[arg-type]
    silent = stored._replace(attrs={})
    assert silent.period == (
        str(silent.found.matchups.day.min()),
        str(silent.found.matchups.day.max()),
    )
    assert "of an unknown store" in silent.origin


def test_it_is_as_small_as_was_reckoned_with(text: str) -> None:
    assert len(text.encode()) < page.BUDGET
    begin, end = text.index('<section id="scores"'), text.index('<section id="trends"')
    markup = "".join(part.partition('"')[2] for part in text[begin:end].split("base64,"))
    assert len(markup.encode()) < page.TEXT / 2


def test_what_is_held_out_stays_closed(whole: Path, matchups: Path, text: str) -> None:
    assert not (matchups.parent / "openings.jsonl").exists()
    assert "WHOTS" not in text
