"""Inputs that the fuzzer (benchmarks/fuzz.py) has found to be answered with something else than one sentence."""

import contextlib
import io
import json
import os

import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i.core.errors import LONGEST, I2IError
from i2i.core.files import atomic_folder, kind_of
from i2i.core.storage import file_sizes
from i2i.core.suggest import neighbors
from i2i.data import decode
from i2i.data import open as open_data
from i2i.data.layouts import LEFT, Source
from i2i.inference.inputs import collect_jobs
from i2i.inference.translate import translate_bytes
from i2i.media import images
from i2i.models.format import read_header, save
from i2i.models.generator import load_generator
from i2i.models.load import find, load, translator_of
from i2i.nets.dcgan import DCGANGenerator
from i2i.nets.resnet import ResNet
from i2i.training.recipes import recipe
from i2i.training.resolve import resolve_run
from i2i.training.start import read_start

NO_NAMES = ["x" * 300, "in/" + "y" * 5000, "a\0b", "in/*\0", "\ud800", "*\ud800"]  # that no file can have


@pytest.mark.parametrize("name", NO_NAMES, ids=lambda name: ascii(name[:8]))
def test_a_name_that_no_file_can_have_is_one_that_is_not_there(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    assert kind_of(name) == ""
    assert neighbors(name) == []
    assert file_sizes([tmp_path / name]) == {}
    for read in (find, recipe, open_data, lambda n: collect_jobs([n], "out", "m"), lambda n: recipe(f"{n}.yaml")):
        with pytest.raises(I2IError):
            read(name)
    with pytest.raises(I2IError):
        resolve_run("pix2pix", [name])


def test_what_a_message_quotes_is_bounded_from_both_ends():
    error = I2IError(f"It is {'9' * 10**6}.", "Give less.")
    assert len(error.what) < LONGEST + 10
    assert error.what.startswith("It is 99")
    assert error.what.endswith("99.")
    assert error.hint == "Give less."


@pytest.mark.parametrize("data", [b"P5\n99999999999 4\n255\n", b"P6 2 x", b"P7 \n", b"\xff\x0a\x00damaged", b"P4\n#"])
def test_damaged_heads_of_images_are_told_by_the_web_page_too(data):
    translator = translator_of({"G": ResNet(3, 3, blocks=0, width=2)}, {})
    with pytest.raises(I2IError):
        translate_bytes(data, translator)


def test_a_pair_of_one_pixel_is_told(tmp_path):
    path = tmp_path / "narrow.bmp"
    Image.new("RGB", (1, 24)).save(path)
    for read in (decode.fast, decode.exact):
        with pytest.raises(I2IError, match="1 pixel wide"):
            read(Source(path, LEFT), 3, lambda width, height: (16, 16))
    with pytest.raises(I2IError, match="1 pixel wide"):
        decode.fast_pair(path, (3, 1), lambda width, height: (16, 16))


@pytest.mark.parametrize(
    "options", [{"rowsperstrip": 4}, {"tile": (16, 16)}, {"rowsperstrip": 4, "compression": "zlib"}]
)
def test_a_tiff_whose_strips_are_missing_is_not_read_as_black(options):
    stream = io.BytesIO()
    deep = np.random.default_rng(0).integers(0, 4096, (64, 64), np.uint16)
    tifffile.imwrite(stream, deep, photometric="miniswhite", **options)
    whole = stream.getvalue()
    with images.open_image(io.BytesIO(whole)) as image:
        assert np.array_equal(np.asarray(image), 65535 - deep)
    with pytest.raises(I2IError), images.open_image(io.BytesIO(whole[: len(whole) * 3 // 4])):
        pass


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate"])
def test_a_tiff_whose_header_tells_of_more_rows_is_not_read_as_black(compression):
    stream = io.BytesIO()
    Image.effect_noise((24, 24), 80).convert("RGB").save(stream, "TIFF", compression=compression)
    data = bytearray(stream.getvalue())
    start, height = int.from_bytes(data[4:8], "little"), 257
    for entry in range(start + 2, start + 2 + 12 * int.from_bytes(data[start : start + 2], "little"), 12):
        if int.from_bytes(data[entry : entry + 2], "little") == height:
            data[entry + 8 : entry + 12] = (1_000_000).to_bytes(4, "little")
    with pytest.raises(I2IError), images.open_image(io.BytesIO(data)):
        pass


def test_a_network_of_another_kind_than_its_header_says_is_told(tmp_path):
    noise = save(tmp_path / "noise.safetensors", {"G": DCGANGenerator(4, 3, 16, 4)}, {"method": "pix2pix"})
    with pytest.raises(I2IError, match="does not translate images"):
        load(noise)
    facts = {"kind": "generate", "latent": [["normal", 4]], "method": "dcgan"}
    images_ = save(tmp_path / "images.safetensors", {"G": ResNet(3, 3, blocks=0, width=2)}, facts)
    with pytest.raises(I2IError, match="makes no images from noise"):
        load_generator(images_)


def test_a_header_may_hold_names_that_are_no_utf_8(tmp_path):
    names = ["\udcff", "\ud800", "é"]
    path = save(tmp_path / "model.safetensors", {"G": ResNet(3, 3, blocks=0, width=2)}, {"data": names})
    assert read_header(path)["data"] == names


def test_a_pipe_in_place_of_a_folder_that_is_replaced_is_removed(tmp_path):
    os.mkfifo(tmp_path / "folder")
    with atomic_folder(tmp_path / "folder", replace=True) as folder:
        (folder / "file").write_text("text")
    assert (tmp_path / "folder" / "file").read_text() == "text"


def test_an_onnx_file_that_enlarges_without_end_is_refused_on_a_small_part(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    sizes = ["batch", 3, "height", "width"]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes) for name in ("picture", "y")]
    many = onnx.numpy_helper.from_array(np.array([1, 1, 400, 400], np.int64), "many")
    node = onnx.helper.make_node("Tile", ["picture", "many"], ["y"])
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [many])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    header = {"channels_in": 3, "channels_out": 3, "multiple": 1, "whole": False, "radius": 1, "bytes_per_pixel": 9}
    onnx.helper.set_model_props(model, {"i2i": json.dumps({**header, "direction": "AtoB"})})
    (tmp_path / "bomb.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(I2IError, match="1 x 1 pixels into 480,000 numbers"):
        load(tmp_path / "bomb.onnx")(np.zeros((512, 512, 3), np.uint8))


def test_names_of_models_to_start_from_may_be_too_long():
    with pytest.raises(I2IError):
        read_start("x" * 300)
    with pytest.raises(I2IError):
        read_start("x/" * 3000)


def test_a_pattern_of_many_folders_is_refused():
    with pytest.raises(I2IError, match="names too many folders inside each other"):
        collect_jobs(["*/y" + "/y" * 1500], "out", "tiny")


@pytest.mark.parametrize("name", ["s3://memory://", "memory://in/b/c.pngin\n1e3\n/run\n.pth.zip://x"])
def test_an_address_inside_another_is_refused_or_a_name(name):
    pytest.importorskip("upath")
    with contextlib.suppress(I2IError):
        (pair,) = collect_jobs([], "out", "tiny", listed=[name], root="in")
        assert str(pair.target).startswith("out/")
