"""A study answered in a real browser, closed in the middle and gone on with."""

import json

import numpy as np
import pytest
from PIL import Image

from i2i.inference.study import new_study, read_key
from i2i.inference.study_answers import read_answers
from tests import browser

pytestmark = pytest.mark.slow
SECONDS = 0.3


@pytest.fixture
def made(tmp_path):
    """A study of 3 practice, 6 scored and 2 vigilance pairs; its outputs are green, its real images red."""
    rng = np.random.default_rng(0)
    for i in range(12):
        level = rng.integers(100, 200, (16, 16), dtype=np.uint8)
        none = np.zeros_like(level)
        (tmp_path / "pairs").mkdir(exist_ok=True)
        (tmp_path / "green").mkdir(exist_ok=True)
        red, green = np.stack([level, none, none], 2), np.stack([none, level, none], 2)
        Image.fromarray(np.hstack([green, red])).save(tmp_path / "pairs" / f"{i}.png")
        Image.fromarray(green).save(tmp_path / "green" / f"{i}.png")
    return new_study(
        [tmp_path / "green"], tmp_path / "s.html", tmp_path / "pairs",
        trials=6, practice=3, vigilance=2, seconds=SECONDS,
    )  # fmt: skip


@pytest.fixture
def context(tmp_path):
    """A browser that keeps what pages store, as a person's does."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=browser.chromium(), args=["--no-sandbox"], accept_downloads=True
        )
        context.set_default_timeout(20_000)
        yield context
        context.close()


WATCH = """addEventListener("DOMContentLoaded", () => {
    window.seen = [];
    const left = () => getComputedStyle(document.getElementById("left")).visibility;
    const watch = () => window.seen.push([performance.now(), left()]);
    new MutationObserver(watch).observe(document.getElementById("pair"), {attributes: true});
});"""


def opened(context, path, faults, addresses):
    page = context.new_page()
    page.add_init_script(WATCH)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(path.as_uri())
    page.locator("#begin").click()
    return page


def is_red(page, side):
    """Whether an image is one of the real ones."""
    script = """e => { const c = document.createElement('canvas'); c.width = c.height = 16;
        const x = c.getContext('2d'); x.drawImage(e, 0, 0);
        const [r, g] = x.getImageData(8, 8, 1, 1).data; return r > g; }"""
    return page.locator(f"#{side}").evaluate(script)


def answer(page, real, by_key=False):
    """Waits until a pair is hidden, and says that the red (real=True) or the green image is the real one."""
    page.locator("#choose-left:enabled").wait_for()
    side = "left" if is_red(page, "left") == real else "right"
    page.keyboard.press(f"Arrow{side.title()}") if by_key else page.locator(f"#choose-{side}").click()


def test_a_person_answers_closes_the_page_and_goes_on(made, context, tmp_path):
    faults, addresses = [], []
    page = opened(context, made.pages[0], faults, addresses)

    # A pair is seen for the time that was set, and then covered; a key pressed before that is no answer.
    page.keyboard.press("ArrowLeft")
    page.locator("#choose-left:enabled").wait_for()
    (_, before), (begun, during), (ended, after) = page.evaluate("window.seen")
    assert (before, during, after) == ("hidden", "visible", "hidden")
    assert SECONDS - 0.02 < (ended - begun) / 1000 < SECONDS + 1
    assert page.locator("#progress").text_content() == "Practice: 1 of 11"

    # Practice says right and wrong; the scored pairs do not.
    answer(page, real=True)
    page.locator("#feedback", has_text="Right.").wait_for()
    page.locator("#progress", has_text="2 of 11").wait_for()
    answer(page, real=False)
    page.locator("#feedback", has_text="Wrong.").wait_for()
    page.locator("#progress", has_text="3 of 11").wait_for()
    answer(page, real=True, by_key=True)
    for number in (4, 5):
        page.locator("#progress", has_text=f"{number} of 11").wait_for()
        answer(page, real=False)
        assert page.locator("#feedback").text_content() == ""
    page.locator("#progress", has_text="6 of 11").wait_for()
    page.locator("#choose-left:enabled").wait_for()
    page.close()

    # A new tab goes on with the pair that was not answered, which counts as seen twice.
    page = opened(context, made.pages[0], faults, addresses)
    for number in range(6, 12):
        page.locator("#progress", has_text=f"{number} of 11").wait_for()
        answer(page, real=False)
    page.locator("#end").wait_for()
    with page.expect_download() as download:
        page.locator("#save").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert json.loads(path.read_text()) == json.loads(page.locator("#text").input_value()) | {
        "ended": json.loads(path.read_text())["ended"]
    }

    # The reader understands the file: all scored pairs fooled, but for the one seen twice if it was scored.
    key = read_key(made.key)["pages"][0]
    answers = json.loads(path.read_text())["answers"]
    parts = [key[a["trial"]]["part"] for a in answers]
    assert parts[:3] == ["practice"] * 3
    assert [a["views"] for a in answers] == [1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1]
    result = read_answers([path], made.key, draws=200)
    assert result["rates"][0]["rate"] == 1
    assert result["answers"] == 6 - (parts[5] == "scored")
    assert result["vigilance"]["right"] == 0
    assert faults == []
    assert [a for a in addresses if not a.startswith(("file:", "data:", "blob:"))] == []


def test_each_person_has_an_order_of_their_own(made, context):
    faults, addresses = [], []
    firsts = []
    for _ in range(7):  # with an equal order once in 3 million runs
        page = opened(context, made.pages[0], faults, addresses)
        page.locator("#choose-left:enabled").wait_for()
        firsts.append(page.evaluate("document.getElementById('left').src + document.getElementById('right').src"))
        page.evaluate("localStorage.clear()")
        page.close()
    assert len(set(firsts)) > 1
    assert faults == []
