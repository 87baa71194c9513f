"""What precision=auto takes for a translation, and that a folder keeps it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from i2i.core.errors import I2IError
from i2i.inference.translate import translate
from i2i.inference.watch import watch
from i2i.models import format as model_file
from i2i.models import precision
from i2i.models.load import load
from i2i.nets import build

GOOD = {"form": precision.FORM, "within": 0.9995, "images": 16}


def model_in(folder, facts, **header):
    torch.manual_seed(0)
    network = build("unet", depth=3, width=8, norm="instance")
    entries = {"method": "pix2pix", "bf16": {"AtoB": facts}, **header}
    return model_file.save(folder / "model.safetensors", {"G": network}, entries)


@pytest.fixture
def model(tmp_path):
    return model_in(tmp_path, GOOD)


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(4):
        array = np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(array).save(tmp_path / "in" / f"{i}.png")
    return tmp_path / "in"


@pytest.fixture(params=[True, False])
def hardware(request, monkeypatch):
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: request.param)
    return request.param


@pytest.fixture
def has_hardware(monkeypatch):
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def test_auto_takes_bf16_where_the_model_keeps_its_values_and_the_cpu_gains(model, inputs, tmp_path, hardware):
    result = translate(inputs, tmp_path / "out", model, device="cpu")
    assert result.precision == ("mixed" if hardware else "fp32")
    assert ("99.95 % of the values of 16 held-out images" in result.why) == hardware
    assert load(model, "cpu").precision == result.precision
    explicit = translate(inputs, tmp_path / "own", model, device="cpu", precision=result.precision)
    assert (explicit.precision, explicit.why) == (result.precision, "")
    assert files_of(tmp_path / "own") == files_of(tmp_path / "out")


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (None, "does not say"),
        ({**GOOD, "form": precision.FORM - 1}, "does not say"),
        ({**GOOD, "within": "much"}, "does not say"),
        ({**GOOD, "gains": False}, "too narrow"),
        ({**GOOD, "within": 0.9989}, "in bf16 only 99.89 %"),
    ],
)
def test_a_model_that_is_not_known_to_keep_its_values_stays_in_fp32(facts, why, tmp_path, inputs, has_hardware):
    result = translate(inputs, tmp_path / "out", model_in(tmp_path, facts), device="cpu", dry_run=True)
    assert result.precision == "fp32"
    assert why in result.why


@pytest.mark.parametrize(
    ("width", "norm", "gains"), [(8, "instance", False), (48, "instance", True), (8, "none", True)]
)
def test_narrow_networks_with_norms_of_the_image_are_said_to_gain_nothing(width, norm, gains, tmp_path):
    network = build("unet", depth=3, width=width, norm=norm)
    path = model_file.save(tmp_path / "m.safetensors", {"G": network}, {"method": "pix2pix"})
    translator = load(path, "cpu", "fp32")
    image = torch.rand(3, 32, 32) * 2 - 1
    assert precision.measure(translator, [image]).get("gains", True) is gains
    assert width <= precision.mean_width(translator, image) <= 4 * width


def test_other_statistics_and_parts_of_a_job_stay_in_fp32(model, inputs, tmp_path, has_hardware):
    for options in ({"statistics": "image"}, {"shard": (1, 2)}, {"compile": True}):
        assert translate(inputs, tmp_path / "out", model, device="cpu", dry_run=True, **options).precision == "fp32"


@pytest.mark.parametrize("begun", ["fp32", "mixed", "bf16"])
def test_a_folder_keeps_the_precision_that_it_was_begun_in(begun, model, inputs, tmp_path, hardware):
    out = tmp_path / "out"
    translate(inputs, out, model, device="cpu", precision=begun)
    before = files_of(out)
    (out / "2.png").unlink()
    result = translate(inputs, out, model, device="cpu", resume=True)
    assert (result.precision, len(result.done)) == (begun, 1)
    assert files_of(out) == before
    other = "fp32" if begun != "fp32" else "bf16"
    with pytest.raises(I2IError, match="other settings"):
        translate(inputs, out, model, device="cpu", resume=True, precision=other)


def test_one_process_or_two_make_the_same_files(model, inputs, tmp_path):
    for name, options in {"one": {}, "two": {"processes": 2}}.items():
        translate(inputs, tmp_path / name, model, device="cpu", precision="mixed", **options)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_images_of_more_than_8_bits_are_computed_in_fp32(model):
    mixed, exact, lower = (load(model, "cpu", name) for name in ("mixed", "fp32", "bf16"))
    levels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for image in (levels.astype(np.uint16) * 257, levels.astype(np.float32) / 255):
        assert np.array_equal(mixed(image), exact(image))
    together = mixed([levels, levels.astype(np.uint16) * 257])
    assert np.array_equal(together[0], lower(levels))
    assert np.array_equal(together[1], exact(levels.astype(np.uint16) * 257))


def test_files_of_16_bits_are_computed_in_fp32(model, tmp_path):
    (tmp_path / "in").mkdir()
    gray = np.random.default_rng(0).integers(0, 65536, (16, 16), np.uint16)
    Image.fromarray(gray).save(tmp_path / "in" / "deep.png")
    Image.fromarray((gray // 257).astype(np.uint8)).save(tmp_path / "in" / "flat.png")
    for name in ("mixed", "fp32", "bf16"):
        translate(tmp_path / "in", tmp_path / name, model, device="cpu", precision=name)
    mixed, exact, lower = (files_of(tmp_path / name) for name in ("mixed", "fp32", "bf16"))
    assert mixed["deep.png"] == exact["deep.png"] != lower["deep.png"]
    assert mixed["flat.png"] == lower["flat.png"]


def test_tiles_in_bf16_are_near_the_whole_image(tmp_path):
    path = model_in(tmp_path, GOOD)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8))
    whole = np.asarray(load(path, "cpu", "bf16")(image)).astype(int)
    tiled = translate_in_tiles(path, image, tmp_path)
    assert np.abs(tiled - whole).mean() < 1


def translate_in_tiles(path, image, folder):
    image.save(folder / "x.png")
    translate(folder / "x.png", folder / "y.png", path, device="cpu", precision="bf16", tile=64)
    with Image.open(folder / "y.png") as made:
        return np.asarray(made).astype(int)


def test_a_watched_folder_takes_bf16_too_and_its_record_says_so(model, inputs, tmp_path, has_hardware):
    import threading

    stop, seen = threading.Event(), []

    def tell(outcome):
        seen.append(outcome)
        if len(seen) == 4:
            stop.set()

    watch(inputs, tmp_path / "out", model, device="cpu", tell=tell, stop=stop, poll=0.01, settle=0)
    assert {outcome.state for outcome in seen} == {"done"}
    result = translate(inputs, tmp_path / "out", model, device="cpu", resume=True)
    assert (result.precision, len(result.done)) == ("mixed", 0)


def test_measuring_writes_the_share_and_leaves_the_weights(tmp_path):
    from i2i.models.measured import measure_file

    path = model_in(tmp_path, None)
    before = model_file.read_header(path)
    x = torch.rand(3, 3, 16, 16) * 2 - 1
    facts = measure_file(path, {"AtoB": x})
    after = model_file.read_header(path)
    assert after.pop("bf16") == facts
    assert {k: v for k, v in before.items() if k != "bf16"} == after  # the checksum of the weights, too
    exact, lower = (load(path, "cpu", name) for name in ("fp32", "bf16"))
    levels = x.add(1).mul(127.5).round().byte()
    apart = torch.stack([(exact(one).int() - lower(one).int()).abs() for one in levels])
    assert facts["AtoB"]["within"] == pytest.approx(float((apart <= 1).float().mean()), abs=1.1e-4)
    assert facts["AtoB"]["images"] == 3
