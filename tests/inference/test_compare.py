"""Comparisons of candidates whose scores are known, and of those that cannot be compared."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from i2i import nets
from i2i.core.errors import I2IError
from i2i.inference.compare import compare
from i2i.models import format as model_file
from tests.cli.program import i2i

COUNT, SIDE = 9, 16
QUICK = "l1,psnr"


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def lab(tmp_path):
    """Pairs, and outputs that miss the truth by 5 (good/) and by 15 levels or so (bad/), as one file a name."""
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        x, y = rng.integers(60, 196, (2, SIDE, SIDE, 3), dtype=np.uint8)
        save(tmp_path / "pairs" / "test" / f"{i}.png", np.hstack([x, y]))
        for name, miss in (("good", 5), ("bad", 15)):
            save(tmp_path / name / f"{i}.png", y + np.uint8(miss + (i if name == "bad" else 0)))
    return tmp_path


def run(lab, *given, **options):
    options = {"data": lab / "pairs", "metrics": QUICK, **options}
    return compare([lab / name for name in given], **options)


def test_scores_differences_and_the_better_one_are_known(lab):
    result = run(lab, "good", "bad", metrics="l1,psnr,ssim")
    assert (result["count"], result["size"], result["split"]) == (COUNT, SIDE, "test")
    assert result["scores"]["good"]["l1"] == pytest.approx(5 / 127.5, abs=1e-6)
    assert result["scores"]["bad"]["l1"] == pytest.approx(19 / 127.5, abs=1e-6)
    (l1, psnr, _) = result["differences"]
    assert (l1["a"], l1["b"], l1["metric"]) == ("good", "bad", "l1")
    assert l1["difference"] == pytest.approx(-14 / 127.5, abs=1e-6)
    low, high = l1["interval"]
    assert low < l1["difference"] < high < 0
    assert (l1["clear"], l1["better"]) == (True, "good")
    assert (psnr["clear"], psnr["better"]) == (True, "good")  # of this one more is better


def test_paired_differences_are_clear_where_the_intervals_of_the_scores_overlap(lab):
    rng = np.random.default_rng(1)
    for i in range(COUNT):
        y = np.asarray(Image.open(lab / "pairs" / "test" / f"{i}.png"))[:, SIDE:]
        miss = int(rng.integers(1, 50))
        save(lab / "p" / f"{i}.png", y + np.uint8(miss))
        save(lab / "q" / f"{i}.png", y + np.uint8(miss + 1))
    result = run(lab, "p", "q", metrics="l1")
    (p_low, p_high), (q_low, _) = (result["intervals"][name]["l1"] for name in ("p", "q"))
    assert p_low < q_low < p_high
    assert result["differences"][0]["better"] == "p"


def test_a_model_equals_the_folder_of_its_own_outputs(lab):
    torch.manual_seed(0)
    net = nets.build("resnet", blocks=1, width=2)
    model = model_file.save(lab / "m.safetensors", {"G": net}, {"size": SIDE, "data": [str(lab / "pairs")]})
    i2i("evaluate", "--model", model, "--save", lab / "own", "--metrics", "l1")
    result = compare([model, lab / "own"], metrics="l1,psnr,ssim,kid")  # the data is that of the model
    assert result["scores"]["m"] == pytest.approx(result["scores"]["own"], abs=1e-6)
    assert not any(row["clear"] for row in result["differences"])
    assert {row["metric"] for row in result["differences"]} >= {"l1", "psnr", "kid"}
    assert result["candidates"]["own"] == {"from": str(lab / "own"), "model": False}


def test_unpaired_data_is_compared_as_sets_and_single_images_are_shown(lab):
    for i in range(COUNT):
        picture = np.asarray(Image.open(lab / "pairs" / "test" / f"{i}.png"))
        save(lab / "A" / f"x{i}.png", picture[:, :SIDE])
        save(lab / "B" / f"other{i}.png", picture[::-1, SIDE:])
        for name in ("good", "bad"):
            (lab / name / f"{i}.png").rename(lab / name / f"x{i}.png")
    result = run(lab, "good", "bad", data=[lab / "A", lab / "B"], metrics=None)
    assert result["layout"] == "unpaired"
    assert {"fd_effnet", "kid", "mind"} <= result["scores"]["good"].keys()
    assert "l1" not in result["scores"]["good"]
    assert [row["metric"] for row in result["differences"]] == ["fd_effnet", "kid", "mind"]
    alone = run(lab, "good", "bad", data=lab / "A", page=lab / "c.html")
    assert alone["layout"] == "images"
    assert any("no true images" in note for note in alone["notes"])
    assert alone["apart"] == {"good | bad": {"l1": pytest.approx(14 / 127.5, abs=1e-6)}}


def test_the_page_shows_the_farthest_apart_first_and_asks_for_nothing(lab):
    result = run(lab, "good", "bad", page=lab / "c.html", show=4)
    text = (lab / "c.html").read_text()
    assert result["shown"] == 4
    assert re.findall(r"<h3>test/(\d) ", text) == ["8", "7", "6", "5"]
    assert text.count("data:image/webp;base64,") == 4 * 4
    assert "16 pixels" in text
    assert "good is better" in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert str(lab) not in text


def test_what_the_command_prints(lab):
    words = ("compare", lab / "good", lab / "bad", "--data", lab / "pairs", "--metrics", QUICK)
    out, _ = i2i(*words, "-o", lab / "c.html")
    assert "9 pairs of test, all at 16 pixels" in out
    assert re.search(r"good - bad +L1 +-0\.1098 .* good is better", out)
    found = json.loads(i2i(*words, "--json")[0])
    assert found["differences"][0]["better"] == "good"
    assert "page" not in found


@pytest.mark.parametrize(
    ("spoil", "given", "options", "message"),
    [
        (lambda d: None, ["good"], {}, "One candidate was given"),
        (lambda d: None, ["good", "good"], {}, "given twice"),
        (lambda d: None, ["good", "bad"], {"data": None}, "No data was given.*--data DIR"),
        (lambda d: None, ["good", "bad"], {"limit": 0}, "no image to compare"),
        (lambda d: [(d / "bad" / f"{i}.png").unlink() for i in (2, 5)], ["good", "bad"], {},
         r"no output for 2 of 9 inputs: 2, 5\."),
        (lambda d: save(d / "bad" / "3.png", np.zeros((20, 24, 3), np.uint8)), ["good", "bad"], {},
         r"3\.png has 24x20 pixels, but .* at 16x16"),
        (lambda d: save(d / "bad" / "3.png", np.zeros((16, 16), np.uint8)), ["good", "bad"], {}, r"3\.png is gray"),
        (lambda d: save(d / "bad" / "3.jpg", np.zeros((16, 16, 3), np.uint8)), ["good", "bad"], {}, "the same name"),
        (lambda d: [f.rename(f.with_stem(f"z{f.stem}")) for f in [*(d / "bad").iterdir()]], ["good", "bad"], {},
         r"9 of 9 inputs.*--data A --data B"),
        (lambda d: (d / "empty").mkdir(), ["good", "empty"], {}, "holds no model"),
        (lambda d: None, ["good", "nowhere"], {}, "nowhere"),
        (lambda d: None, ["good", "bad"], {"metrics": "nice"}, "No metric is called 'nice'"),
        (lambda d: None, ["good", "bad"], {"split": "val"}, "no split 'val'"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_one_sentence(lab, spoil, given, options, message):
    spoil(lab)
    with pytest.raises(I2IError, match=message):
        run(lab, *given, **options)


def test_models_of_different_tasks_are_refused_and_different_sizes_are_said(lab):
    torch.manual_seed(0)
    header = {"data": [str(lab / "pairs")], "size": SIDE}
    net = nets.build("resnet", blocks=1, width=2)
    a = model_file.save(lab / "a.safetensors", {"G": net}, header)
    b = model_file.save(lab / "b.safetensors", {"G": net}, {**header, "size": 32})
    c = model_file.save(lab / "c.safetensors", {"G": net}, {**header, "direction": "BtoA"})
    gray = nets.build("resnet", blocks=1, width=2, channels_in=1)
    d = model_file.save(lab / "d.safetensors", {"G": gray}, header)
    with pytest.raises(I2IError, match=r"differ in the direction .*c\.safetensors: BtoA"):
        compare([a, c])
    with pytest.raises(I2IError, match=r"differ in the channels of the input"):
        compare([a, d])
    lost = model_file.save(lab / "e.safetensors", {"G": net}, {"size": SIDE, "data": [str(lab / "gone")]})
    with pytest.raises(I2IError, match=r"gone\) is not here\. .*--data DIR"):
        compare([lost, lab / "good"])
    result = compare([a, b], metrics="l1")
    assert result["size"] == 32
    assert "All are run at 32 pixels" in result["notes"][0]
    assert compare([a, b], metrics="l1", size=16)["size"] == 16


def test_outputs_of_the_authors_and_in_folders_like_the_data_are_found(lab):
    for i in range(COUNT):
        (lab / "good" / f"{i}.png").rename(lab / "good" / f"{i}_fake_B.png")
        save(lab / "good" / f"{i}_real_A.png", np.zeros((SIDE, SIDE, 3), np.uint8))
    (lab / "bad").rename(lab / "test")
    (lab / "out").mkdir()
    (lab / "test").rename(lab / "out" / "test")
    assert run(lab, "good", "out")["scores"]["good"]["l1"] == pytest.approx(5 / 127.5, abs=1e-6)
