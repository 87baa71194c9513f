"""The monitor of collapse and copies: silent on a healthy generator, loud on one that is collapsed on purpose."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from i2i.data.batch import Batch
from i2i.metrics.collapse import coverage, nearest_distance, pairwise_distance
from i2i.training.collapse import CollapseMonitor
from i2i.training.report import Report, SilentObserver


class Told(SilentObserver):
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self.grids: list[int] = []

    def samples(self, images: int, columns: dict[str, Tensor]) -> None:
        self.grids.append(images)

    def event(self, images: int, kind: str, **facts: Any) -> None:
        self.events.append((images, kind, facts))

    def warnings(self) -> list[str]:
        return [facts["text"] for _, kind, facts in self.events if kind == "warning"]

    def signs(self, name: str) -> list[float]:
        return [facts[name] for _, kind, facts in self.events if kind == "signs"]


def shapes(ids: Tensor, side: int = 16) -> Tensor:
    """A bright square of random place and size in each image: many images, some structure. [B, 1, side, side]."""
    made = torch.full((len(ids), 1, side, side), -1.0)
    for row, i in zip(made, ids.tolist()):
        a, b, n = i * 7 % 11, i * 5 % 9, 3 + i % 4
        row[:, a : a + n, b : b + n] = 0.5 + (i * 3 % 5) / 10
    return made


class Pictures:
    size = 16

    def __init__(self, first: int, count: int, classes: int = 0) -> None:
        self.first, self.count, self.classes = first, count, classes

    def fixed(self, n: int) -> Batch:
        ids = torch.arange(self.first, self.first + min(n, self.count))
        return Batch(shapes(ids), c=ids % self.classes if self.classes else None)


@pytest.fixture
def guard():
    return CollapseMonitor(Told(), Pictures(0, 400), Pictures(5000, 100))


def test_a_healthy_generator_is_left_in_peace(guard):
    for images in range(0, 600, 100):
        guard.samples(images, {"samples": shapes(torch.arange(64) + 9000 + images)})
    assert guard.inner.warnings() == []
    assert guard.inner.grids == [0, 100, 200, 300, 400, 500]
    assert len(guard.inner.signs("spread")) == 5  # noise before training is not judged
    assert guard.inner.signs("spread")[0] == pytest.approx(1, abs=0.2)


def test_one_that_ignores_its_noise_sets_off_the_alarm_at_the_third_check_and_once(guard):
    same = shapes(torch.tensor([9001])).expand(64, -1, -1, -1) + 0.01 * torch.randn(64, 1, 16, 16)
    for k in range(1, 6):
        guard.samples(100 * k, {"samples": same})
        assert len(guard.inner.warnings()) == (k >= 3)
    assert "collapsed" in guard.inner.warnings()[0]
    assert guard.inner.signs("spread")[0] < 0.1


def test_the_first_steps_may_be_alike():
    guard = CollapseMonitor(Told(), Pictures(0, 400), early=350)
    same = shapes(torch.tensor([9001])).expand(64, -1, -1, -1)
    for k in range(1, 7):
        guard.samples(100 * k, {"samples": same})
        assert any("alike" in w for w in guard.inner.warnings()) == (k >= 6)


def test_a_passing_narrowness_does_not(guard):
    same = shapes(torch.tensor([9001])).expand(64, -1, -1, -1)
    for k in range(1, 9):
        guard.samples(100 * k, {"samples": same if k % 3 else shapes(torch.arange(64) + 9000)})
    assert not [w for w in guard.inner.warnings() if "alike" in w]


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("lost", [0, 2])  # checks after the checkpoint that a crash made vain
def test_a_resumed_run_warns_where_a_whole_one_does(tmp_path, stop, lost):
    same = shapes(torch.tensor([9001])).expand(64, -1, -1, -1)
    grids = [shapes(torch.arange(64) + 9000), same, same, same, shapes(torch.arange(64)), same, same, same]

    def watched(folder):
        return CollapseMonitor(Report(folder, "dcgan", {}, 800, live=False), Pictures(0, 400), Pictures(5000, 100))

    def judged(guard, first, last):
        for k in range(first, last + 1):
            guard.look(100 * k, [grids[k - 1]])
        return [
            (line["images"], line.get("text"), line.get("spread"))
            for line in guard.lines()
            if line["kind"] in ("signs", "warning")
        ]

    whole = judged(watched(tmp_path / "whole"), 1, 8)
    assert [images for images, text, _ in whole if text] == [400, 500]  # alike, copies
    judged(watched(tmp_path / "run"), 1, stop + lost)
    guard = watched(tmp_path / "run")
    guard.event(100 * stop, "resumed")
    assert judged(guard, stop + 1, 8) == whole


def test_collapse_within_each_class_is_seen_though_the_classes_differ():
    columns = {f"class {k}": shapes(torch.tensor([9000 + 3 * k])).expand(8, -1, -1, -1) for k in range(4)}
    assert pairwise_distance(torch.cat(list(columns.values()))) > 0.2
    guard = CollapseMonitor(Told(), Pictures(0, 400, classes=4), Pictures(5000, 100, classes=4))
    for k in range(1, 4):
        guard.samples(100 * k, columns)
    assert "alike" in guard.inner.warnings()[0]


def test_one_that_copies_training_pictures_is_told():
    generator = torch.Generator().manual_seed(0)
    train = torch.rand(200, 1, 16, 16, generator=generator) * 2 - 1

    class Fixed(Pictures):
        def __init__(self, x: Tensor) -> None:
            self.x, self.count = x, len(x)

        def fixed(self, n: int) -> Batch:
            return Batch(self.x[:n])

    held = torch.rand(60, 1, 16, 16, generator=generator) * 2 - 1
    for held_out in (Fixed(held), None):
        guard = CollapseMonitor(Told(), Fixed(train), held_out)
        guard.samples(1, {"samples": train[40:104] + 0.05})
        assert "copies" in guard.inner.warnings()[0]
        guard = CollapseMonitor(Told(), Fixed(train), held_out)
        guard.samples(1, {"samples": torch.rand(64, 1, 16, 16, generator=generator) * 2 - 1})
        assert guard.inner.warnings() == []
        assert guard.inner.signs("nearest")[0] == pytest.approx(1, abs=0.05)


def test_everything_else_passes_through(guard):
    calls: list[tuple[Any, ...]] = []

    class Recorder(SilentObserver):
        def losses(self, *facts: Any) -> None:
            calls.append(("losses", *facts))

        def close(self, reason: str = "") -> None:
            calls.append(("close", reason))

        def lines(self) -> list[dict[str, Any]]:
            return [{"kind": "note"}]

    guard.event(3, "note", text="x")
    assert guard.inner.events == [(3, "note", {"text": "x"})]
    guard.inner = Recorder()
    guard.losses(4, {"G/adv": 1.0}, {"G": 2e-4}, 5.0)
    guard.close("interrupted")
    assert calls == [("losses", 4, {"G/adv": 1.0}, {"G": 2e-4}, 5.0), ("close", "interrupted")]
    assert list(guard.lines()) == [{"kind": "note"}]


def test_large_pictures_are_shrunk_first():
    guard = CollapseMonitor(Told(), Pictures(0, 64))
    guard.train.size = 16
    big = torch.nn.functional.interpolate(shapes(torch.arange(300, 364)), scale_factor=2.0)
    guard.look(1, [torch.nn.functional.adaptive_avg_pool2d(big, 16)])
    assert guard.inner.signs("spread")[0] == pytest.approx(1, abs=0.25)


def test_spread_and_nearest_by_hand():
    a = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert pairwise_distance(a) == pytest.approx(5 / 2**0.5)
    assert nearest_distance(a[:1], torch.tensor([[6.0, 8.0], [3.0, 4.0]])) == pytest.approx(5 / 2**0.5)
    assert nearest_distance(a, a, same=True) == pytest.approx(5 / 2**0.5)
    assert nearest_distance(a, a) == 0


def test_a_generator_of_one_mode_covers_one():
    centers = torch.tensor([[-2.0, 0], [0, 0], [2, 0]])
    healthy = centers.repeat(50, 1) + 0.05 * torch.randn(150, 2, generator=torch.Generator().manual_seed(0))
    assert coverage(healthy, centers, 0.05).modes(20) == 3
    found = coverage(healthy[::3], centers, 0.05)
    assert (found.modes(), found.kl) == (1, pytest.approx(1.0986, abs=1e-4))
    assert coverage(healthy + 1, centers, 0.05).good == 0
