"""Human studies: what a page shows and hides, and that simulated people are understood rightly."""

import base64
import io
import json
import random
import re
from math import lgamma

import numpy as np
import pytest
from PIL import Image

from i2i.core.errors import I2IError
from i2i.inference.study import new_study, read_key
from i2i.inference.study_answers import rate, read_answers
from i2i.inference.study_checks import answers_text, check_of
from i2i.inference.study_sheet import PRACTICE, SCORED, VIGILANCE, Planner, fitting_lengths
from i2i.metrics.study import wilson
from tests.cli.program import i2i
from tests.test_docs import listed_keys

COUNT, SIDE = 40, 16
SMALL = {"trials": 20, "practice": 4, "vigilance": 3}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Pairs, and the folders of outputs of two programs with telling names."""
    folder = tmp_path_factory.mktemp("lab")
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        x, y = rng.integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
        for path, image in (
            (f"pairs/test/secret{i}.png", np.hstack([x, y])),
            (f"goodfakes/secret{i}.png", y ^ 1),
            (f"badfakes/secret{i}.png", y ^ 64),
        ):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / path)
    return folder


def study(lab, folder, *names, **options):
    options = {"data": lab / "pairs", **SMALL, **options}
    return new_study([lab / name for name in names or ("goodfakes",)], folder / "study.html", **options)


def shown(page):
    """The data that a page's script reads."""
    text = page.read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def answered(made, page=0, seed=0, choose=None, most=None):
    """The answer file of a simulated person as study.js writes it; choose(trial of the key): the chosen image's id."""
    key, rng = read_key(made.key), random.Random(seed)
    data = shown(made.pages[page])
    answers = []
    for trial in data["trials"][:most]:
        sides = [trial["a"], trial["b"]]
        rng.shuffle(sides)
        choice = choose(key["pages"][page][trial["id"]]) if choose else rng.choice(sides)
        answer = {
            "trial": trial["id"],
            "left": sides[0],
            "right": sides[1],
            "views": 1,
            "practice": "practice" in trial,
        }
        answers.append({**answer, "choice": ("left", "right")[sides.index(choice)], "ms": rng.randrange(300, 4000)})
    return sealed(
        {
            "i2i study answers": 1,
            "study": made.id,
            "page": page,
            "person": f"{seed:016x}",
            "name": "",
            "answers": answers,
        }
    )


def sealed(file):
    text = answers_text(file["study"], file["page"], file["person"], file["name"], file["answers"])
    return {**file, "complete": True, "check": check_of(text)}


def write(folder, *files):
    paths = []
    for i, file in enumerate(files):
        paths.append(folder / f"answers{i}.json")
        paths[-1].write_text(json.dumps(file))
    return paths


# ---- the page ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "names"), [("real", ["goodfakes"]), ("ab", ["goodfakes", "badfakes"])])
def test_a_page_reveals_nothing_but_images(lab, tmp_path, kind, names):
    made = study(lab, tmp_path, *names, kind=kind)
    text = made.pages[0].read_text()
    for word in ("secret", "goodfakes", "badfakes", str(lab), "vigilance", "spoilt", "target"):
        assert word not in text
    assert "secret" not in made.key.read_text()
    assert "goodfakes" not in made.key.read_text()
    assert not re.search(r'(src|href)="(?!data:)', text)
    data = shown(made.pages[0])
    assert all(trial["a"] < trial["b"] for trial in data["trials"])  # sorted by ids, which are random
    assert list(data["images"]) == sorted(data["images"])
    assert {tuple(sorted(set(trial) - {"practice"})) for trial in data["trials"]} == {("a", "above", "b", "id")}
    key = read_key(made.key)["pages"][0]
    firsts = [key[t["id"]]["target"] == t["a"] for t in data["trials"] if key[t["id"]]["part"] == SCORED]
    assert 3 <= sum(firsts) <= 17
    counts = [sum(t["part"] == part for t in key.values()) for part in (PRACTICE, SCORED, VIGILANCE)]
    assert counts == [4, 20, 3]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_study(lab, tmp_path):
    pages = [study(lab, tmp_path / name, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))]
    a, b, c = ((made.pages[0].read_bytes(), made.key.read_bytes()) for made in pages)
    assert a == b
    assert pages[0].id != pages[2].id
    assert a[0] != c[0]
    assert a[1] != c[1]


def test_images_of_a_trial_are_what_the_key_says(lab, tmp_path):
    made = study(lab, tmp_path)
    data, key = shown(made.pages[0]), read_key(made.key)["pages"][0]
    decoded = {}
    for name, uri in data["images"].items():
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
            decoded[name] = np.asarray(image.convert("RGB"))
    for trial in key.values():
        fake, real = decoded[trial["target"]], decoded[trial["other"]]
        if trial["part"] == SCORED:
            assert np.array_equal(fake, real ^ 1)
        elif trial["part"] == PRACTICE:
            assert np.array_equal(fake ^ 1, real)  # the target of practice is the right answer
        else:
            assert len(np.unique(real.reshape(-1, 3), axis=0)) <= 64 < len(np.unique(fake.reshape(-1, 3), axis=0))


def test_real_has_a_page_for_each_candidate_and_ab_all_pairs_in_one(lab, tmp_path):
    made = study(lab, tmp_path, "goodfakes", "badfakes", kind="real")
    assert [page.name for page in made.pages] == ["study-1.html", "study-2.html"]
    pairs = [{tuple(t["pair"]) for t in page.values()} for page in read_key(made.key)["pages"]]
    assert sorted(map(sorted, pairs)) == [[(0, 0)], [(1, 1)]]
    sheets = Planner("ab", 3, 40, 0, True, True, 0).sheets(0, 30, 0)
    counts = [sum(t.pair == pair for t in sheets[0].trials) for pair in ((0, 1), (0, 2), (1, 2))]
    assert counts == [10, 10, 10]


def test_unpaired_data_shows_a_fake_beside_any_real_image(lab, tmp_path):
    for i in range(COUNT):
        image = np.asarray(Image.open(lab / "pairs" / "test" / f"secret{i}.png"))
        for side, part in (("A", image[:, :SIDE]), ("B", image[:, SIDE:])):
            (tmp_path / side).mkdir(exist_ok=True)
            Image.fromarray(part).save(tmp_path / side / f"{'secret' if side == 'A' else 'other'}{i}.png")
    made = study(lab, tmp_path, data=[tmp_path / "A", tmp_path / "B"])
    assert made.trials == {"practice": 4, "scored": 20, "vigilance": 3}
    with pytest.raises(I2IError, match=r"no real images.*--kind ab"):
        study(lab, tmp_path / "x", data=tmp_path / "A")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "best"}, "kind of study 'best' is unknown"),
        ({"seconds": 61}, "shown for 61 seconds"),
        ({"kind": "ab"}, "One candidate was given"),
        ({"trials": 0}, "0 scored"),
        ({"data": None}, "No data was given"),
    ],
)
def test_a_study_that_cannot_be_is_one_sentence(lab, tmp_path, options, message):
    with pytest.raises(I2IError, match=message):
        study(lab, tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_answered_pages_are_not_overwritten_and_few_images_make_fewer_trials(lab, tmp_path):
    study(lab, tmp_path)
    with pytest.raises(I2IError, match=r"study\.html exists"):
        study(lab, tmp_path)
    made = study(lab, tmp_path, overwrite=True, limit=12)
    assert made.trials == {"practice": 2, "scored": 10, "vigilance": 3}
    assert "12 different trials" in made.notes[0]
    assert fitting_lengths(1, 10, 50, 5)[:3] == (0, 1, 1)


# ---- answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_the_probability_of_simulated_judges_lies_within_the_interval_in_95_of_100_studies(p):
    rng, within = np.random.default_rng(7), 0
    for run in range(200):
        hits = (rng.random((12, 40)) < p).astype(int).tolist()
        low, high = rate(hits, draws=200, seed=run)[0]["interval"]
        within += low <= p <= high
    assert within >= 190


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_wilsons_interval_holds_the_probability_in_95_of_100_studies(p):
    n = 480
    binomial = [lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) for k in range(n + 1)]
    log = [binomial[k] + k * np.log(p) + (n - k) * np.log(1 - p) for k in range(n + 1)]
    within = sum(np.exp(log[k]) for k in range(n + 1) if wilson(k, n)[1] <= p <= wilson(k, n)[2])
    assert 0.94 < within < 0.96  # the sum over all outcomes, not a draw


def test_people_who_differ_are_within_the_interval_over_people_and_not_within_wilsons():
    rng, within = np.random.default_rng(3), {"interval": 0, "wilson": 0}
    for run in range(200):
        hits = [(rng.random(40) < p).astype(int).tolist() for p in rng.beta(1.2, 2.8, 20)]  # 0.3 in the mean
        row, _ = rate(hits, draws=200, seed=run)
        for name in within:
            within[name] += row[name][0] <= 0.3 <= row[name][1]
    assert within["interval"] >= 184
    assert within["wilson"] <= 150


def test_people_who_stopped_early_count_by_their_answers():
    rng, within = np.random.default_rng(7), 0
    for run in range(200):
        hits = [(rng.random(n) < 0.3).astype(int).tolist() for n in [40] * 6 + [4] * 6]
        low, high = rate(hits, draws=200, seed=run)[0]["interval"]
        within += low <= 0.3 <= high
    assert within >= 190
    hits = [(rng.random(50) < 0.6).astype(int).tolist() for _ in range(10)] + [[0] * 5] * 10
    row, _ = rate(hits, draws=500)
    assert row["interval"][0] < row["rate"] < row["interval"][1]


def test_fooled_rates_count_scored_trials_alone(lab, tmp_path):
    made = study(lab, tmp_path)

    def choose(trial):  # always fooled, all practice and vigilance wrong
        return trial["target"] if trial["part"] == SCORED else trial["other"]

    result = read_answers(draws=200, files=write(tmp_path, *(answered(made, seed=i, choose=choose) for i in range(3))))
    (row,) = result["rates"]
    assert (row["candidate"], row["hits"], row["trials"], row["people"]) == ("goodfakes", 60, 60, 3)
    assert row["rate"] == 1
    assert result["vigilance"] == {"right": 0, "trials": 9, "left_out": 0}
    assert "3 of 3 people had less than 80 %" in result["notes"][0]
    turned = read_answers(draws=200, files=write(tmp_path, answered(made, choose=lambda trial: trial["other"])))
    assert turned["rates"][0]["rate"] == 0
    left = read_answers(draws=200, files=write(tmp_path, answered(made, choose=choose)), attentive=0.5)
    assert (left["people"], left["rates"], left["vigilance"]["left_out"]) == (0, [], 1)


def test_preferences_name_the_first_of_two_and_pages_their_candidate(lab, tmp_path):
    made = study(lab, tmp_path, "goodfakes", "badfakes")

    def choose(trial):
        return trial["target"]

    (row,) = read_answers(draws=200, files=write(tmp_path, *(answered(made, seed=i, choose=choose) for i in range(2))))[
        "rates"
    ]
    assert (row["a"], row["b"], row["rate"]) == ("goodfakes", "badfakes", 1)
    (tmp_path / "r").mkdir()
    made = study(lab, tmp_path / "r", "goodfakes", "badfakes", kind="real")

    def fooled_by_good(trial):
        return trial["target"] if trial["pair"] == [0, 0] else trial["other"]

    files = [answered(made, page, 10 * page + i, fooled_by_good) for page in (0, 1) for i in range(2)]
    result = read_answers(draws=200, files=write(tmp_path / "r", *files))
    assert {row["candidate"]: row["rate"] for row in result["rates"]} == {"goodfakes": 1, "badfakes": 0}
    assert result["better"] == [{"a": "goodfakes", "b": "badfakes", "share": 1.0}]


def test_images_seen_twice_and_unfinished_answers(lab, tmp_path):
    made = study(lab, tmp_path)
    file = answered(made, most=14)
    scored = [a for a in file["answers"] if not a["practice"]]
    scored[0]["views"] = 2
    result = read_answers(draws=200, files=write(tmp_path, sealed(file)))
    key = read_key(made.key)["pages"][0]
    expected = sum(key[a["trial"]]["part"] == SCORED for a in scored[1:])
    assert result["answers"] == expected
    assert "did not finish" in result["notes"][0]
    assert "1 answers are left out" in result["notes"][1]


def spoilt_files(made, other):
    """(what was done to an answer file, its content)."""
    good = answered(made, seed=5)
    changed = json.loads(json.dumps(good))
    first = changed["answers"][0]
    first["choice"] = "right" if first["choice"] == "left" else "left"
    yield "was changed", json.dumps(changed)
    yield "another study", json.dumps(answered(other, seed=6))
    twice = {**good, "answers": [*good["answers"], good["answers"][0]]}
    yield "answers a trial twice", json.dumps(sealed(twice))
    strange = {**good, "answers": [{**good["answers"][0], "trial": "0000000000"}]}
    yield "a trial that the study does not have", json.dumps(sealed(strange))
    wrong = {**good, "answers": [{**good["answers"][0], "left": good["answers"][1]["left"]}]}
    yield "contradicts the study", json.dumps(sealed(wrong))
    scored = {**good, "answers": [{**good["answers"][0], "practice": not good["answers"][0]["practice"]}]}
    yield "contradicts the study", json.dumps(sealed(scored))
    yield "not readable as JSON", "{"
    yield "not those that i2i writes", json.dumps({**good, "answers": [1]})
    yield "not those that i2i writes", json.dumps([])
    yield "was changed", json.dumps({**good, "name": "\ud800"})
    yield "read already", json.dumps(answered(made, seed=1))


def test_bad_answer_files_are_named_and_the_others_are_read(lab, tmp_path):
    made = study(lab, tmp_path)
    (tmp_path / "other").mkdir()
    other = study(lab, tmp_path / "other", seed=9)
    files = write(tmp_path, answered(made, seed=1), answered(made, seed=2))
    for i, (words, content) in enumerate(spoilt_files(made, other)):
        bad = tmp_path / f"bad{i}.json"
        bad.write_text(content)
        out, err = i2i("study", "read", *files, bad, "--key", made.key, "--draws", 200, code=3)
        assert "2 people, 40 scored answers" in out
        assert re.search(rf"Left out: .*bad{i}\.json.*{words}", err)
        assert len(err.strip().splitlines()) == 1
        found = json.loads(i2i("study", "read", *files, bad, "--key", made.key, "--draws", 200, "--json", code=3)[0])
        assert [one["file"] for one in found["refused"]] == [str(bad)]
        assert set(found) == listed_keys("i2i study read")[0]
    _, err = i2i("study", "read", bad, bad.with_name("bad0.json"), "--key", other.key, code=1)
    assert "No answer file can be used" in err
    _, err = i2i("study", "read", tmp_path / "none.json", code=1)
    assert "There is no file" in err
    (tmp_path / "no.key.json").write_text('{"i2i study key": 1, "study": "x", "key": "eJw="}')
    _, err = i2i("study", "read", files[0], "--key", tmp_path / "no.key.json", code=1)
    assert "no.key.json is damaged" in err
    _, err = i2i("study", "read", files[0], code=1)
    assert "holds 2 keys" in err


def test_what_the_commands_print(lab, tmp_path):
    out, _ = i2i("study", "new", lab / "goodfakes", "--data", lab / "pairs", "-o", tmp_path / "s.html", "--trials", 20)
    assert "10 pairs for practice, 20 scored and 5 vigilance pairs, at 16 pixels" in out
    command = re.search(r"Then: i2i (.*)", out)[1].split()
    assert command[-1] == str(tmp_path / "s.key.json")
    out, _ = i2i("study", "new", lab / "goodfakes", "--data", lab / "pairs", "-o", tmp_path / "t.html", "--json")
    assert json.loads(out)["trials"] == {"practice": 6, "scored": 34, "vigilance": 5}
    assert "study new" in i2i("study")[0]
