"""The page of a run in a real browser. Without one these tests skip; `make browser` installs it."""

import base64
import json
import re
import shutil

import numpy as np
import pytest

from bcnmf_jax.report import write
from tests.report_runs import fit_run

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MARGIN = 16  # of the picture of the samples, in pixels


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: make browser"
    )
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed: make browser")
    with playwright.sync_playwright() as p:
        started = p.chromium.launch(executable_path=program)
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    names = {"feature": "<b>bold</b> gene", "sample": "<i>first</i>", "donor": "</select>donor0"}
    fit_run(folder, names=names)
    return write(folder)


@pytest.fixture
def visit(browser):
    """Function that opens a page; at the end it must not have complained or asked for anything."""
    said, asked, opened = [], [], []

    def opens(path, width=1200, height=900, **settings):
        page = browser.new_page(viewport={"width": width, "height": height}, **settings)
        opened.append(page)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield opens
    for page in opened:
        page.close()
    assert said == []
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert sum(url.startswith("file") for url in asked) == len(opened)


def places(page):
    """Names of the samples, and where they lie on the canvas, in pixels."""
    drawn = json.loads(page.locator("#samples-data").text_content())
    x, y = (np.frombuffer(base64.b64decode(drawn[k]), "<u2") / 65535 for k in "xy")
    box = page.locator("#canvas").bounding_box()
    across = MARGIN + x * (box["width"] - 2 * MARGIN)
    down = box["height"] - MARGIN - y * (box["height"] - 2 * MARGIN)
    return drawn["names"], across, down


def picture(page):
    return page.evaluate("document.getElementById('canvas').toDataURL()")


def test_pointing_at_a_sample_shows_its_name_and_what_is_known_of_it(visit, report):
    page = visit(report)
    page.locator("#plot").scroll_into_view_if_needed()
    names, across, down = places(page)
    i = int(across.argmin())
    page.locator("#canvas").hover(position={"x": across[i], "y": down[i]})
    tip = page.locator("#tip")
    assert tip.is_visible() and tip.locator("b").text_content() == names[i]
    assert re.search("set: (target|background).*donor: ", tip.text_content())
    page.locator("h2", has_text="Samples").hover()
    assert not tip.is_visible()


def test_filters_keep_what_was_chosen(visit, report):
    page = visit(report)
    count = page.locator("#count")
    assert count.text_content() == "100 of 100 samples shown."
    before = picture(page)
    page.get_by_label("show donor").select_option("</select>donor0")
    assert count.text_content() == "25 of 100 samples shown."
    page.get_by_label("show condition").select_option("control")
    assert count.text_content() == "10 of 100 samples shown."
    assert picture(page) != before
    page.get_by_label("show donor").select_option("all")
    page.get_by_label("show condition").select_option("all")
    assert count.text_content() == "100 of 100 samples shown." and picture(page) == before


def test_colours_are_chosen_and_explained(visit, report):
    page = visit(report)
    legend = page.locator("#legend")
    assert [t.strip() for t in legend.locator("li").all_text_contents()] == ["target", "background"]
    before = picture(page)
    page.get_by_label("colour by").select_option("bcnmf1")
    assert "usage of bcnmf1: 0" in legend.text_content() and picture(page) != before
    page.get_by_label("colour by").select_option("donor")
    assert legend.locator("li").count() == 4


def test_the_keyboard_reaches_everything(visit, report):
    page = visit(report)
    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    assert skip.text_content() == "Skip to the content"
    assert skip.bounding_box()["x"] >= 0 and skip.evaluate("e => e.matches(':focus-visible')")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        width = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert width == "3px" or page.evaluate("document.activeElement.tagName") == "BODY"
    assert {"A", "SUMMARY", "lookup-text", "colour", "filter-0", "canvas"} <= reached
    page.focus("#canvas")
    names, across, _ = places(page)
    order = np.argsort(across, kind="stable")
    tip = page.locator("#tip b")
    for i in order[:3]:
        page.keyboard.press("ArrowRight")
        assert tip.text_content() == names[i]
    page.keyboard.press("ArrowLeft")
    assert tip.text_content() == names[order[1]]
    page.keyboard.press("Escape")
    assert not page.locator("#tip").is_visible()


def test_controls_have_names(visit, report):
    page = visit(report)
    unnamed = page.evaluate(
        """[...document.querySelectorAll('input, select, canvas, svg[role=img], [role=region]')]
        .filter((e) => !(e.labels?.length || e.getAttribute("aria-label")))
        .map((e) => e.outerHTML)"""
    )
    assert unnamed == []


def test_features_are_looked_up(visit, report):
    page = visit(report)
    field, found = page.get_by_label("Look up a feature"), page.locator("#lookup-found")
    field.fill("gene1")
    assert "11 of 30 features" in found.text_content()
    first = found.locator("tr").first
    assert first.locator("th").text_content() == "gene1"
    assert re.search(r"number \d+ \([\d.e-]+ %\)", first.text_content())
    hits = page.locator("tr.hit")
    assert hits.count() > 0
    assert all("gene1" in name for name in hits.locator("th").all_text_contents())
    field.fill("<b>")
    assert found.locator("tr th").all_text_contents() == ["<b>bold</b> gene"]
    field.fill("no such")
    assert "0 of 30 features" in found.text_content() and hits.count() == 0
    field.fill("")
    assert found.text_content() == ""


@pytest.mark.parametrize("width", [320, 390, 800])
def test_narrow_windows_need_no_sideways_scrolling(visit, report, width):
    page = visit(report, width=width)
    for details in page.locator("details").all():
        details.evaluate("e => { e.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    drawn = page.locator("#canvas").bounding_box()
    assert drawn["width"] <= width


def test_dark_where_dark_is_wanted(visit, report):
    def brightness(scheme, name):
        page = visit(report, color_scheme=scheme)
        rgb = page.evaluate(f"getComputedStyle(document.body).{name}")
        return sum(map(int, re.findall(r"\d+", rgb)[:3])) / 3

    light = brightness("light", "backgroundColor") - brightness("light", "color")
    dark = brightness("dark", "backgroundColor") - brightness("dark", "color")
    assert light > 150 and dark < -150


def test_fifty_thousand_samples_load_within_two_seconds(visit, tmp_path):
    fit_run(tmp_path, n=30_000, m=20_000, genes=2000, programs=10)
    path = write(tmp_path)
    took = []
    for _ in range(3):
        page = visit(path)
        assert page.locator("#count").text_content() == "50000 of 50000 samples shown."
        took.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
    assert min(took) < 2000
    assert path.stat().st_size < 10e6
