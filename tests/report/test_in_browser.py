"""The page in a real browser: nothing is fetched, the keyboard suffices, a phone is wide enough."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed; `make servers` installs Debian's"
)

DESKTOP, PHONE = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(whole: Path) -> str:
    return whole.as_uri()


class Opened:
    """The page, and what the browser said and asked for."""

    def __init__(self, browser: Any, address: str, size: tuple[int, int], **more: Any) -> None:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **more)
        self.page = context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def opened(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Opened]:
    made = Opened(browser, address, request.param)
    yield made
    assert made.said == []  # whatever a test did
    fetched = [url for url in made.asked if not url.startswith("data:")]
    assert fetched == [address]
    made.page.context.close()


def shown(page: Any) -> tuple[str, str, str]:
    """What the map is: its picture, its label, and its text."""
    return (
        page.get_attribute("#frame", "href"),
        page.inner_text("#label"),
        page.inner_text("#map-told"),
    )


def test_arrow_keys_move_through_time(opened: Opened) -> None:
    page = opened.page
    page.focus("#step")
    first = shown(page)
    assert first[1] == "2020-02-01"
    page.keyboard.press("ArrowRight")
    second = shown(page)
    assert second[1] == "2020-02-02" and second[0] != first[0] and "2020-02-02" in second[2]
    assert page.get_attribute("#step", "aria-valuetext") == "2020-02-02"
    page.keyboard.press("End")
    assert page.inner_text("#label") == "2020-03-11"
    page.keyboard.press("Home")
    assert shown(page) == first


def test_the_picture_that_is_shown_is_drawn(opened: Opened) -> None:
    drawn = opened.page.evaluate(
        """async () => {
            const image = new Image();
            image.src = document.getElementById("frame").getAttribute("href");
            await image.decode();
            return [image.naturalWidth, image.naturalHeight];
        }"""
    )
    assert drawn == [24, 12]


def test_another_variable_brings_its_own_colours(opened: Opened) -> None:
    page = opened.page
    before = shown(page)
    visible = page.locator(".bar:visible")
    assert visible.count() == 1
    flux = visible.get_attribute("aria-label")
    page.select_option("#film", "1")
    assert shown(page)[0] != before[0] and "temperature" in shown(page)[2]
    assert visible.count() == 1 and visible.get_attribute("aria-label") != flux
    assert "°C" in visible.get_attribute("aria-label")


def test_play_moves_and_stops(opened: Opened) -> None:
    from playwright.sync_api import expect

    page = opened.page
    page.focus("#play")
    page.keyboard.press("Enter")
    assert page.get_attribute("#play", "aria-pressed") == "true"
    expect(page.locator("#label")).not_to_have_text("2020-02-01")
    page.keyboard.press("Enter")
    assert page.get_attribute("#play", "aria-pressed") == "false"
    stopped = shown(page)
    page.wait_for_timeout(700)
    assert shown(page) == stopped


def test_a_day_can_be_looked_up(opened: Opened) -> None:
    page = opened.page
    page.fill("#day", "2020-02-29")
    assert page.inner_text("#day-told").startswith("missing; observed 0.0 %")
    page.fill("#day", "2020-02-01")
    assert page.inner_text("#day-told").startswith("complete; observed 100.0 %")


def test_the_list_of_days_can_be_had(opened: Opened) -> None:
    with opened.page.expect_download() as waited:
        opened.page.click("#list")
    lines = Path(waited.value.path()).read_text().splitlines()
    assert waited.value.suggested_filename == "small-flux-days.csv"
    assert len(lines) == 41 and "2020-02-29,missing,0.0000,0.0000,0.0000,1.0000" in lines


def test_nothing_is_wider_than_the_page(opened: Opened) -> None:
    opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    wide, window = opened.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide == window


def test_wide_tables_scroll_in_their_own_box_and_keep_their_first_column(opened: Opened) -> None:
    page = opened.page
    titled = "#scores [role=region][aria-label='All matchups together']"
    box, row = page.locator(titled), page.locator(f"{titled} tbody th").first
    wide, seen = box.evaluate("one => [one.scrollWidth, one.clientWidth]")
    assert wide > seen
    left, number = row.bounding_box()["x"], page.locator(f"{titled} tbody td").nth(3)
    before = number.bounding_box()["x"]
    box.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("one => one.scrollLeft > 20", arg=box.element_handle())
    assert number.bounding_box()["x"] < before
    assert row.bounding_box()["x"] == pytest.approx(left, abs=1)


def test_a_table_is_unfolded_by_the_keyboard(opened: Opened) -> None:
    page = opened.page
    summary = page.locator("#scores summary", has_text="Latent heat flux [W/m²]: all figures")
    cell = page.get_by_role("rowheader", name="wind speed: 5 to 7 m/s")
    before = cell.count()
    summary.focus()
    page.keyboard.press("Enter")
    assert cell.count() == before + 3  # a row for each product


def test_everything_that_can_be_used_is_reached_by_tab_and_seen(opened: Opened) -> None:
    page = opened.page
    reached, steps = set(), 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    while steps < 200:
        name = page.evaluate(
            """() => {
                const one = document.activeElement;
                if (one === document.body) return "";
                const style = getComputedStyle(one);
                if (style.outlineStyle === "none") return "unseen " + one.outerHTML.slice(0, 80);
                return one.id || one.tagName;
            }"""
        )
        assert not name.startswith("unseen"), name
        if not name:
            break
        reached.add(name)
        page.keyboard.press("Tab")
        steps += 1
    assert {"step", "film", "play", "day", "list", "A", "SUMMARY"} <= reached


def test_what_can_be_used_has_a_name(opened: Opened) -> None:
    page = opened.page
    for role, name in (
        ("slider", "Time"),
        ("combobox", "Variable"),
        ("button", "Play"),
        ("navigation", "Sections"),
        ("main", None),
        ("banner", None),
        ("region", "Coverage"),
        ("img", "Calendar of the days"),
        ("link", "Skip to the report"),
    ):
        assert page.get_by_role(role, name=name).count() >= 1, (role, name)
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(browser: Any, address: str, scheme: str) -> None:
    """Contrast of at least 4.5, as WCAG 2 asks of text."""
    made = Opened(browser, address, DESKTOP, color_scheme=scheme)
    lowest = made.page.evaluate(CONTRAST)
    made.page.context.close()
    assert lowest["ratio"] >= 4.5, lowest


CONTRAST = """() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (text) => {
    const [r, g, b] = parts(text).slice(0, 3).map((v) => {
      v /= 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const back = getComputedStyle(one).backgroundColor;
      if (back !== "transparent" && parts(back)[3] !== 0) return back;
    }
    return "rgb(255, 255, 255)";
  };
  let lowest = {ratio: 99};
  for (const one of document.querySelectorAll("p,a,h1,h2,h3,dt,dd,td,th,li,summary,label,button," +
                                              "output,figcaption,code,span,caption,select,text")) {
    const style = getComputedStyle(one);
    const front = one.tagName === "text" ? style.fill : style.color;
    const [a, b] = [light(front), light(behind(one))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const what = one.outerHTML.slice(0, 90);
    if (ratio < lowest.ratio) lowest = {ratio, front, back: behind(one), what};
  }
  return lowest;
}"""


def test_without_javascript_the_first_map_is_there(browser: Any, address: str) -> None:
    made = Opened(browser, address, DESKTOP, java_script_enabled=False)
    assert made.page.get_attribute("#frame", "href").startswith("data:image/png;base64,")
    assert made.page.locator("noscript p").is_visible()
    made.page.context.close()
