"""compare.html in a real browser."""

import re

import numpy as np
import pytest
from PIL import Image

from i2i.inference.compare import compare
from tests import browser

pytestmark = pytest.mark.slow


@pytest.fixture
def page(tmp_path):
    """The page of two folders of outputs, open in a browser, which has met no fault and asked for nothing."""
    api = pytest.importorskip("playwright.sync_api")
    rng = np.random.default_rng(0)
    for i in range(3):
        y = rng.integers(60, 190, (16, 16, 3), dtype=np.uint8)
        for folder, image in (
            ("pairs", np.hstack([255 - y, y])),
            ("a", y + np.uint8(10 + i)),
            ("b", y - np.uint8(40 - 10 * i)),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / folder / f"{i}.png")
    folders = [tmp_path / "a", tmp_path / "b"]
    compare(folders, data=tmp_path / "pairs", metrics="l1", page=tmp_path / "c.html")
    with api.sync_playwright() as driver:
        window = driver.chromium.launch(executable_path=browser.chromium(), args=["--no-sandbox"])
        page = window.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(20_000)
        faults, addresses = [], []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: addresses.append(request.url))
        page.goto((tmp_path / "c.html").as_uri())
        yield page
        assert faults == []
        assert [a for a in addresses if not a.startswith(("file:", "data:"))] == []
        window.close()


def test_zoom_moves_all_images_of_a_row_and_no_other(page):
    row = page.locator("article").first
    view = row.locator(".view").nth(2)
    view.scroll_into_view_if_needed()
    box = view.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 50)
    page.mouse.wheel(0, -300)
    browser.until(row.locator("img").first).to_have_attribute("style", re.compile(r"scale\(2\.7"))
    moved = {row.locator("img").nth(i).evaluate("e => e.style.transform") for i in range(4)}
    assert len(moved) == 1
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 50)
    page.mouse.up()
    assert {row.locator("img").nth(i).evaluate("e => e.style.transform") for i in range(4)} != moved
    assert page.locator("article").nth(1).locator("img").first.evaluate("e => e.style.transform") == ""
    page.locator("#reset").click()
    assert "scale(1)" in row.locator("img").first.evaluate("e => e.style.transform")


def test_difference_maps_are_drawn_of_all_but_the_reference_and_the_input(page):
    page.select_option("#against", "1")  # the real image
    canvases = page.locator("article").first.locator("canvas")
    browser.until(page.locator("canvas:visible")).to_have_count(6)
    assert [canvases.nth(i).is_visible() for i in range(4)] == [False, False, True, True]
    brightness = """e => e.getContext('2d').getImageData(0, 0, 16, 16).data.reduce((a, b) => a + b) """
    near, far = canvases.nth(2).evaluate(brightness), canvases.nth(3).evaluate(brightness)
    assert near < far  # b misses the truth by 40 levels, a by 10
    page.select_option("#against", "-1")
    browser.until(page.locator("canvas:visible")).to_have_count(0)


def test_rows_are_sorted_as_asked(page):
    names = page.locator("article h3")
    assert [names.nth(i).text_content()[0] for i in range(3)] == ["0", "1", "2"]  # a and b are 50, 41, 32 levels apart
    page.select_option("#order", "a/l1")
    assert [names.nth(i).text_content()[0] for i in range(3)] == ["2", "1", "0"]
    page.select_option("#order", "name")
    assert [names.nth(i).text_content()[0] for i in range(3)] == ["0", "1", "2"]
