"""What a run leaves to read: a log without doubles or torn lines, and a page that needs nothing else."""

import io
import json
import math
import re
import time
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from i2i.training.report import Report, page
from i2i.training.report.history import POINTS, RunHistory
from i2i.training.report.log import Log, json_safe
from i2i.training.report.report import PAGE_GRIDS, evenly_spaced
from tests.training.toy import toy_loop


def report(folder, total=100, live=False, **settings):
    return Report(folder, "pix2pix", {"data": ["earth"], "lr": 2e-4, **settings}, total, live)


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def logged(folder, kind):
    return [line["images"] for line in lines(folder) if line["kind"] == kind]


def pictures(n=2, c=3, h=16, w=16, value=0.0):
    return torch.full((n, c, h, w), value)


def train(watch, images, terms=None):
    watch.losses(images, terms or {"G/l1": 1.0 / (images + 1), "D/real": 0.5}, {"G": 2e-4, "D": 2e-4}, 3.5)


# ---- log.jsonl -------------------------------------------------------------------------------------------------


def test_each_call_is_a_line_with_a_time_at_once(tmp_path):
    watch = report(tmp_path)
    watch.event(0, "note", text="no identity loss")
    watch.samples(0, {"input": pictures()})
    train(watch, 10)
    watch.event(10, "saved", checkpoint="000000000010")
    found = lines(tmp_path)
    assert [line["kind"] for line in found] == ["note", "samples", "losses", "saved"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) for line in found)
    assert found[2]["terms"] == {"G/l1": pytest.approx(1 / 11), "D/real": 0.5}
    assert found[2]["rates"] == {"G": 2e-4, "D": 2e-4}
    assert found[2]["speed"] == 3.5
    assert found[1]["file"] == "samples/00000000.png"
    assert [line["seconds"] for line in found] == sorted(line["seconds"] for line in found)


def test_numbers_that_are_not_finite_become_null(tmp_path):
    watch = report(tmp_path)
    train(watch, 5, {"G/a": math.nan, "G/b": math.inf, "G/c": 1.0})
    watch.event(5, "evaluation", model={"psnr": -math.inf, "l1": np.float32(0.5)})
    watch.close()
    text = (tmp_path / "log.jsonl").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert lines(tmp_path)[0]["terms"] == {"G/a": None, "G/b": None, "G/c": 1.0}
    assert lines(tmp_path)[1]["model"] == {"psnr": None, "l1": 0.5}


def test_json_safe_takes_what_json_does_not_know(tmp_path):
    given = {"t": torch.tensor([1.0, math.nan]), "p": tmp_path, 3: (True, None, np.int64(4)), "s": "\udcff"}
    made = json_safe(given)
    assert made == {"t": [1.0, None], "p": str(tmp_path), "3": [True, None, 4], "s": "\udcff"}
    json.dumps(made, allow_nan=False).encode()


@pytest.mark.parametrize(
    "torn", [b'{"kind": "losses", "ima', b"\x00\x00\x00", b"[1]\n", b'{"images": 4}\n', b"\xff\xfe\n"]
)
def test_a_torn_line_is_cut_off(tmp_path, torn):
    first = report(tmp_path)
    train(first, 10)
    with open(tmp_path / "log.jsonl", "ab") as file:
        file.write(torn)
    second = report(tmp_path)
    second.event(10, "resumed")
    train(second, 20)
    assert logged(tmp_path, "losses") == [10, 20]
    assert logged(tmp_path, "resumed") == [10]


def test_resuming_drops_what_was_after_the_checkpoint_and_nothing_else(tmp_path):
    first = report(tmp_path)
    first.event(0, "note", text="a note")
    first.samples(0, {"input": pictures()})
    for images in (10, 20, 30, 40):
        train(first, images)
    first.event(20, "saved")
    first.samples(30, {"input": pictures()})
    # the process is killed here

    second = report(tmp_path)
    second.event(0, "note", text="a note")  # the same note again
    second.event(0, "warning", text="a damaged checkpoint was passed over")
    second.event(20, "resumed")
    assert logged(tmp_path, "losses") == [10, 20]
    assert logged(tmp_path, "samples") == [0]
    assert not (tmp_path / "samples" / "00000030.png").exists()
    train(second, 30)
    second.samples(30, {"input": pictures()})
    second.close()
    assert logged(tmp_path, "losses") == [10, 20, 30]
    assert logged(tmp_path, "samples") == [0, 30]
    assert logged(tmp_path, "note") == [0]
    assert logged(tmp_path, "warning") == [0]
    assert logged(tmp_path, "saved") == [20]


def test_a_run_that_must_begin_again_leaves_one_log(tmp_path):
    """No checkpoint was readable: the loop starts at 0 and never says that it resumed."""
    first = report(tmp_path)
    first.samples(0, {"input": pictures()})
    train(first, 10)
    second = report(tmp_path)
    second.samples(0, {"input": pictures()})
    train(second, 10)
    assert logged(tmp_path, "losses") == [10]
    assert logged(tmp_path, "samples") == [0]
    assert (tmp_path / "samples" / "00000000.png").exists()


def test_training_time_goes_on_and_forgets_what_was_lost(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    first = report(tmp_path)
    train(first, 0)
    clock[0] += 50
    train(first, 10)
    clock[0] += 30
    train(first, 20)
    clock[0] += 1000
    second = report(tmp_path)
    second.event(0, "environment", device="cpu")
    second.event(0, "warning", text="the newest checkpoint is damaged")
    second.event(10, "resumed")
    clock[0] += 5
    train(second, 20)
    assert [line["seconds"] for line in lines(tmp_path) if line["kind"] == "losses"] == [0, 50, 55]


def test_a_crashed_run_through_the_loop_has_the_log_of_an_unbroken_one(tmp_path):
    whole = toy_loop(tmp_path / "whole", sample_every=8, observer=report(tmp_path / "whole", 32))
    whole.run()

    broken = toy_loop(tmp_path / "broken", sample_every=8, observer=report(tmp_path / "broken", 32))
    count, step = 0, broken.step

    def crash(batch, now):
        nonlocal count
        count += 1
        if count == 6:  # after the checkpoint at 16 and a line for 20 images
            raise KeyboardInterrupt
        step(batch, now)

    broken.step = crash
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    again = toy_loop(tmp_path / "broken", sample_every=8, observer=report(tmp_path / "broken", 32))
    again.run()

    assert logged(tmp_path / "broken", "losses") == logged(tmp_path / "whole", "losses") == list(range(4, 33, 4))
    assert logged(tmp_path / "broken", "samples") == logged(tmp_path / "whole", "samples")
    terms = [[x["terms"] for x in lines(tmp_path / n) if x["kind"] == "losses"] for n in ("whole", "broken")]
    assert terms[0] == terms[1]
    assert logged(tmp_path / "broken", "resumed") == [16]


def test_a_full_disk_tears_no_line_and_stops_no_training(tmp_path, monkeypatch, caplog):
    watch = report(tmp_path)
    train(watch, 10)
    real = open

    class Full(io.FileIO):
        def write(self, data):
            return super().write(data[:9])

    monkeypatch.setattr("i2i.training.report.log.open", lambda path, mode, **k: Full(path, mode), raising=False)
    train(watch, 20)
    train(watch, 30)
    monkeypatch.setattr("i2i.training.report.log.open", real, raising=False)
    train(watch, 40)
    assert logged(tmp_path, "losses") == [10, 40]
    assert [r.message for r in caplog.records if "log" in r.message] == [caplog.records[0].message]  # told once


def test_a_folder_that_cannot_hold_grids_stops_no_training(tmp_path, caplog):
    watch = report(tmp_path)
    (tmp_path / "samples").write_text("a file where the folder should be")
    watch.samples(0, {"input": pictures()})
    watch.close()
    assert "sample grid could not be written" in caplog.text
    assert logged(tmp_path, "samples") == []


def test_rewind_of_a_log_alone(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    for n in (1, 2, 3):
        log.write({"kind": "losses", "images": n})
    assert log.rewind(0) == []  # of this session: nothing is dropped
    later = Log(tmp_path / "log.jsonl")
    later.write({"kind": "warning", "images": 9})
    assert [r["images"] for r in later.rewind(1)] == [2, 3]
    assert [r["images"] for r in later] == [1, 9]
    assert later.rewind(0)[0]["images"] == 1
    assert [r["images"] for r in later] == [9]


def test_explanations_of_losses_are_no_damage(tmp_path):
    line = {"kind": "environment", "images": 0, "terms": {"nce": "Lower is better."}}
    Log(tmp_path / "log.jsonl").write(line)
    again = Log(tmp_path / "log.jsonl")
    assert (again.damaged, list(again)) == (0, [line])


def test_a_report_that_is_told_nothing_leaves_nothing(tmp_path):
    watch = report(tmp_path / "run")
    watch.close()
    assert not (tmp_path / "run").exists()
    assert list(watch.lines()) == []
    watch.event(0, "note", text="a note")
    assert logged(tmp_path / "run", "note") == [0]
    assert [line["text"] for line in watch.lines()] == ["a note"]


# ---- report.html -----------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects what a page would load, its text, and whether its elements are closed in order."""

    VOID = ("meta", "img", "input", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.images, self.text, self.data = [], [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        for key, value in attributes:
            if key in ("src", "href", "action", "poster", "data", "srcset", "xlink:href"):
                self.loads.append(value)
            assert not key.startswith("on"), "no inline handlers"
        if tag == "img":
            self.images.append(dict(attributes)["src"])
        if tag not in self.VOID:
            self.open.append((tag, dict(attributes)))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1][0] == "script" and self.open[-1][1].get("type") == "application/json":
            self.data += data
        elif not self.open or self.open[-1][0] not in ("script", "style"):
            self.text.append(data)


def read(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    made = Page(text)
    assert made.open == []
    return made, " ".join(" ".join(made.text).split()), text


def whole_run(folder, grids=7, **settings):
    watch = report(folder, 70, **settings)
    watch.event(0, "environment", device="a <card>", versions={"torch": "2.99"}, changed=["lr"], about="A & B")
    watch.event(0, "note", text="<i>left</i> out")
    watch.samples(0, {"x": pictures(value=-1)})
    for i in range(1, grids):
        train(watch, 10 * i)
        watch.samples(10 * i, {"x": pictures(value=2 * i / grids - 1)})
        watch.event(10 * i, "score", score=1 / i)
    watch.event(10 * grids - 10, "saved")
    train(watch, 70)
    watch.event(70, "evaluation", split="test", count=3, **EVALUATION)
    watch.close()
    return watch


EVALUATION = {
    "model": {"l1": 0.125, "psnr": 21.5},
    "mean image": {"l1": 0.25, "psnr": 14.0},
    "input copied": {"l1": 0.5, "psnr": None},
}


def test_the_page_loads_nothing_and_holds_everything(tmp_path):
    whole_run(tmp_path)
    made, words, text = read(tmp_path)
    assert made.loads
    assert all(load.startswith("data:image/") for load in made.loads)
    assert not re.search(r"https?://|@import|url\(", text)
    assert "default-src 'none'" in text
    assert [uri[:15] for uri in made.images] == ["data:image/jpeg"] * 7 + ["data:image/gif;"]
    for expected in ("pix2pix", "finished", "70", "a <card>", "2.99", "A & B", "<i>left</i> out", "earth"):
        assert expected in words
    assert "i2i translate" not in words  # there is no model; tests/cli/test_hints.py runs what runs print
    assert "--resume" not in words  # it is finished
    assert "0.1667" in words  # the best score
    assert "prefers-color-scheme: dark" in text


def test_the_page_shows_the_metrics_with_the_best_marked(tmp_path):
    whole_run(tmp_path)
    _, words, text = read(tmp_path)
    for title in EVALUATION:
        assert title in words
    assert "<b>0.125</b>" in text
    assert "<b>21.5</b>" in text
    assert "<b>0.25</b>" not in text
    assert "<td>–</td>" in text


def test_every_metric_of_an_evaluation_has_its_direction(tmp_path):
    watch = report(tmp_path, 10)
    train(watch, 10)
    scores = {"fd_effnet": 1.5, "psnr_y": 30.25, "colorfulness": 7.5}
    watch.event(10, "evaluation", model=scores, other={name: value + 1 for name, value in scores.items()})
    watch.close()
    text = read(tmp_path)[2]
    assert "fd_effnet<small> (lower is better)" in text
    assert "psnr_y<small> (higher is better)" in text
    assert "colorfulness<small></small>" in text
    assert "<b>1.5</b>" in text
    assert "<b>31.25</b>" in text
    assert "<b>7.5</b>" not in text
    assert "<b>8.5</b>" not in text


def test_hostile_words_stay_words(tmp_path):
    evil = "</script><script>alert(1)</script><img src=http://x/ onerror=alert(1)>\"'&\udcff"
    folder = tmp_path / "a 'quoted' <folder>"
    watch = Report(folder, f"{evil}.yaml", {evil: evil, "data": [evil]}, 100, False)
    watch.event(0, "environment", **{"about": evil, "device": evil, "versions": {evil: evil}, "odd": [evil]})
    watch.event(0, "note", text=evil)
    watch.event(0, "warning", text=evil)
    watch.samples(0, {evil: pictures()})
    train(watch, 10, {f"G/{evil}": 1.0, evil: 2.0})
    watch.event(10, "evaluation", **{evil: {evil: evil}})
    watch.close(evil)
    made, words, text = read(folder)
    assert all(load.startswith("data:image/") for load in made.loads)
    assert text.count("<script") == 2
    assert "alert(1)" in words
    assert json.loads(made.data)
    assert "i2i train --resume '" in words  # quoted for a shell


def test_a_run_that_stopped_says_why_and_how_to_go_on(tmp_path):
    watch = report(tmp_path)
    train(watch, 10)
    watch.close("The loss term 'adv' became nan.")
    _, words, _ = read(tmp_path)
    assert "stopped" in words
    assert "The loss term 'adv' became nan." in words
    assert f"i2i train --resume {tmp_path}" in words
    assert lines(tmp_path)[-1]["reason"] == "The loss term 'adv' became nan."
    again = report(tmp_path)
    again.event(10, "resumed")
    train(again, 100)
    again.close()
    _, words, _ = read(tmp_path)
    assert "finished" in words
    assert "became nan" not in words


def test_the_page_is_there_at_the_first_samples_but_not_written_all_the_time(tmp_path, monkeypatch):
    clock, written = [1000.0], []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    real = page.render

    def slow(*args, **kwargs):
        written.append(clock[0])
        clock[0] += 2.0  # a page that takes two seconds
        return real(*args, **kwargs)

    monkeypatch.setattr(page, "render", slow)
    watch = report(tmp_path, 10**6)
    for i in range(300):
        watch.event(i, "saved") if i % 2 else watch.samples(0, {"x": pictures(1, 1, 4, 4)})
        clock[0] += 1.0
    assert written == [1000.0, 1100.0, 1200.0, 1300.0]  # at most a fiftieth of the time
    watch.close()
    assert len(written) == 5
    watch.close()
    assert len(written) == 5


def test_the_page_stays_bounded(tmp_path):
    assert evenly_spaced(list(range(1000)), 4) == [0, 333, 666, 999]
    assert evenly_spaced([1, 2], 4) == [1, 2]
    watch = report(tmp_path, 10**6)
    for i in range(40):
        watch.samples(i, {"x": pictures(1, 3, 8, 8)})
    for i in range(1, 3000):
        watch.history.add({"kind": "losses", "images": i, "terms": {"G/l1": 1 + i % 7}, "time": ""})
    watch.close()
    made, _, _ = read(tmp_path)
    assert len(made.images) == PAGE_GRIDS + 1
    assert all(len(c["x"]) <= POINTS for c in json.loads(made.data)["charts"].values())


def test_an_event_after_the_end_reaches_log_and_page(tmp_path):
    watch = whole_run(tmp_path)
    watch.event(70, "evaluation", model={"fid": 42.5})
    assert lines(tmp_path)[-1]["kind"] == "evaluation"
    assert "42.5" in read(tmp_path)[1]


def test_a_damaged_grid_is_left_out(tmp_path):
    watch = report(tmp_path)
    for i in range(3):
        watch.samples(i, {"x": pictures()})
    watch.grid_path(1).write_bytes(b"no image")
    watch.stills.clear()
    watch.close()
    assert len(read(tmp_path)[0].images) == 2


def test_the_history_of_a_log_is_that_of_the_run(tmp_path):
    watch = whole_run(tmp_path)
    again = RunHistory.of(Log(tmp_path / "log.jsonl"))
    assert again.grids == watch.history.grids == [0, 10, 20, 30, 40, 50, 60]
    assert again.best == (pytest.approx(1 / 6), 60)
    assert again.images == 70
    assert again.speed() == pytest.approx(3.5)
    assert {k: c.points for k, c in again.curves.items()} == {k: c.points for k, c in watch.history.curves.items()}
