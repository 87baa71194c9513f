"""report.html in a real browser, with and without JavaScript."""

import pytest

from i2i.training.report.chart import FRAME
from tests import browser
from tests.test_report import whole_run

pytestmark = pytest.mark.slow
GRIDS = 7
WATCH = """e => {
    window.seen = [];
    new MutationObserver(() => window.seen.push(e.textContent)).observe(e, {childList: true});
}"""


@pytest.fixture
def window():
    """A browser with nothing open."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as driver:
        window = driver.chromium.launch(executable_path=browser.chromium(), args=["--no-sandbox"])
        yield window
        window.close()


def opened(window, folder, **options):
    """The page of a run in `folder`, what went wrong on it, and the addresses that it asked for."""
    whole_run(folder, GRIDS)
    page = window.new_context(viewport={"width": 1200, "height": 900}, **options).new_page()
    page.set_default_timeout(20_000)
    faults, addresses = [], []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: addresses.append(request.url))
    page.goto((folder / "report.html").as_uri())
    return page, faults, addresses


def test_samples_curves_and_commands_react(window, tmp_path):
    page, faults, addresses = opened(window, tmp_path)

    # The slider shows one sample grid at a time, the last one first; the button plays from the first one on.
    visible = page.locator(".shots figure.on figcaption")
    caption, slider = page.locator(".scrub output"), page.locator(".scrub input")
    assert (visible.count(), visible.text_content(), caption.text_content()) == (1, "60 images", "60 images")
    slider.fill("2")
    assert (visible.count(), visible.text_content(), caption.text_content()) == (1, "20 images", "20 images")
    slider.fill(str(GRIDS - 1))
    caption.evaluate(WATCH)
    page.locator(".scrub button").click()
    browser.until(page.locator(".scrub button")).to_have_text("\u25b6")  # it has ended
    assert page.evaluate("window.seen") == [f"{n} images" for n in range(0, 61, 10)]

    # The logarithmic scale replaces the linear one where there is one.
    chart = page.locator("figure.chart", has_text="G: l1")
    assert (chart.locator("g.lin").is_visible(), chart.locator("g.log").is_visible()) == (True, False)
    page.locator("#log").check()
    assert (chart.locator("g.lin").is_visible(), chart.locator("g.log").is_visible()) == (False, True)

    # The pointer over a chart shows the value of the nearest point, in the height of the curve.
    output = chart.locator("output")
    last = output.text_content()
    chart.locator("svg").scroll_into_view_if_needed()
    box = chart.locator("svg").bounding_box()
    at = (FRAME["left"] + (FRAME["width"] - FRAME["left"] - FRAME["right"]) * 32 / 70) / FRAME["width"]  # 32 images
    page.mouse.move(box["x"] + box["width"] * at, box["y"] + box["height"] / 2)
    assert output.text_content() == "30 images: 0.03226"
    dot = chart.locator(".dot")
    line = chart.locator("g.log polyline").get_attribute("points").split()
    assert f"{float(dot.get_attribute('cx')):.1f},{float(dot.get_attribute('cy')):.1f}" in line
    page.mouse.move(5, 5)
    assert output.text_content() == last

    assert faults == []
    assert [a for a in addresses if not a.startswith(("file:", "data:"))] == []


def test_all_is_shown_without_javascript(window, tmp_path):
    page, faults, _ = opened(window, tmp_path, java_script_enabled=False)
    figures = page.locator(".shots figure")
    assert figures.count() == GRIDS
    assert all(figures.nth(i).is_visible() for i in range(GRIDS))
    assert not page.locator(".scrub").is_visible()
    assert not page.locator(".command button").first.is_visible()
    assert page.locator("figure.chart g.lin").first.is_visible()
    assert faults == []


def test_dark_and_narrow_windows_show_it_whole(window, tmp_path):
    page, _, _ = opened(window, tmp_path, color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 19, 23)"
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
