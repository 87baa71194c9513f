"""Models as ONNX: the same images from onnxruntime, for any size and batch, and nothing written that differs."""

import re
import shlex
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from i2i import nets
from i2i.core.errors import I2IError
from i2i.inference.translate import translate
from i2i.methods import load_method
from i2i.methods._saved import saved_header
from i2i.models import export, quantize
from i2i.models import format as model_file
from i2i.models import onnx as onnx_file
from i2i.models.load import load
from i2i.models.onnx import OnnxNet
from tests.cli.program import i2i
from tests.methods import tiny

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    noise = np.random.default_rng(0)
    for i, (width, height) in enumerate(((40, 30), (50, 1), (33, 67))):
        Image.fromarray(noise.integers(0, 256, (height, width, 3), np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory, images):
    """{name: (.safetensors, .onnx, what the check found)} of a pix2pix and a CycleGAN generator."""
    folder, found = tmp_path_factory.mktemp("models"), {}
    torch.manual_seed(0)
    unet = nets.init_weights(nets.build("unet", depth=3, width=4), gain=0.3)
    back = nets.build("resnet", blocks=1, width=4)
    for name, networks, direction in (("unet", {"G": unet}, "AtoB"), ("resnet", {"G": unet, "F": back}, "BtoA")):
        path = model_file.save(folder / f"{name}.safetensors", networks, {"train_mode_norm": True, "method": "test"})
        out = folder / f"{name}.onnx"
        found[name] = path, out, export.export(path, out, direction=direction, check=images)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bicyclegan", "pix2pixhd", "pix2pix"])
def test_answers_stages_and_label_maps_are_exported(name, images, tmp_path):
    values = {"palette": "colors:4682b4,00008e|00008f,804080", "label_edges": True} if name != "bicyclegan" else {}
    method = tiny.made(name, **values).eval()
    header = {**saved_header(method), **load_method(name).facts(method.config)}
    path = model_file.save(tmp_path / "m.safetensors", {"G": method.generator}, header)
    assert export.export(path, tmp_path / "m.onnx", check=images).largest < 1e-3
    x = torch.rand(2, 3, 32, 48) * 2 - 1
    assert (load(path, "cpu")(x) - load(tmp_path / "m.onnx")(x)).abs().max() < 1e-3
    assert (load(tmp_path / "m.onnx").palette is None) is (name == "bicyclegan")


@pytest.mark.parametrize("name", ["unet", "resnet"])
def test_onnxruntime_equals_torch_at_any_size_and_batch(made, name):
    source, path, check = made[name]
    assert 0 <= check.mean <= check.largest < 1e-3
    direction = "AtoB" if name == "unet" else "BtoA"
    a, b = load(source, "cpu", direction=direction), load(path, direction=direction)
    torch.manual_seed(1)
    for batch, height, width in ((1, 1, 37), (3, 21, 50), (2, 64, 8)):
        x = torch.rand(batch, 3, height, width) * 2 - 1
        assert b(x).shape == x.shape
        assert (a(x) - b(x)).abs().max() < 1e-3
    for height, width in ((1, 1), (33, 67)):
        x = torch.full((2, 3, height, width), 0.3)
        assert (a(x) - b(x)).abs().max() < 1e-3
    x = torch.rand(3, 3, 24, 40) * 2 - 1  # a batch in one pass, each image by its own statistics
    with torch.inference_mode():
        assert (a.network(x) - b.network(x)).abs().max() < 1e-3


NETS = {
    "resnet, batch norm": ("resnet", {"blocks": 2, "width": 8, "norm": "batch"}),
    "resnet, antialiased": ("resnet", {"blocks": 2, "width": 8, "upsample": "blur", "antialias": True}),
    "resnet, resized": ("resnet", {"blocks": 1, "width": 8, "upsample": "resize"}),
    "resnet, dropout": ("resnet", {"blocks": 2, "width": 8, "dropout": True}),
    "resnet, grey to colour": ("resnet", {"blocks": 1, "width": 8, "channels_in": 1}),
    "unet, dropout": ("unet", {"depth": 4, "width": 8, "dropout": True}),
    "unet, instance norm, resized": ("unet", {"depth": 4, "width": 8, "norm": "instance", "upsample": "resize"}),
    "unet, colour to grey": ("unet", {"depth": 3, "width": 8, "channels_out": 1}),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "own"), [*((n, True) for n in NETS), ("resnet, batch norm", False), ("unet, dropout", False)]
)
def test_every_generator_is_the_same_there(tmp_path, name, own):
    """At sides that the check of an export does not try, and of flat images, whose norms see nothing but rounding."""
    kind, arguments = NETS[name]
    torch.manual_seed(0)
    net = nets.init_weights(nets.build(kind, **arguments), gain=0.1)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    path = model_file.save(tmp_path / "net.safetensors", {"G": net}, {"train_mode_norm": own, "method": "test"})
    export.export(path, tmp_path / "net.onnx")
    a, b = load(path, "cpu"), load(tmp_path / "net.onnx")
    for side in ((72, 56), (1, 40), (5, 90)):
        x = torch.rand(2, a.channels_in, *side) * 2 - 1
        x[1] = 0.3
        assert (a(x) - b(x)).abs().max() < 1e-3


@pytest.mark.slow
def test_the_paper_s_width_is_the_same_there(tmp_path):
    torch.manual_seed(0)
    net = nets.init_weights(nets.build("resnet", blocks=9, width=64))
    path = model_file.save(tmp_path / "net.safetensors", {"G": net}, {"method": "test"})
    check = export.export(path, tmp_path / "net.onnx")
    assert check.largest < 1e-3


def test_models_of_other_kinds_are_refused(tmp_path):
    made = nets.build("dcgan_g", z=4, size=8, width=2)
    header = {"kind": "generate", "latent": [["normal", 4]]}
    path = model_file.save(tmp_path / "dcgan.safetensors", {"G": made}, header)
    with pytest.raises(I2IError, match="makes images from noise"):
        export.export(path, tmp_path / "x.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(I2IError, match=r"bad\.onnx"):
        load(tmp_path / "bad.onnx")


def test_a_folder_by_the_onnx_file_is_the_same_to_one_grey_level(made, images, tmp_path):
    source, path, _ = made["unet"]
    translate(images, tmp_path / "a", source, device="cpu")
    i2i("translate", images, "-o", tmp_path / "b", "--model", path)
    files = sorted(p.name for p in (tmp_path / "a").glob("*.png"))
    assert len(files) == 3
    for name in files:
        a, b = (np.asarray(Image.open(tmp_path / side / name)).astype(int) for side in "ab")
        assert a.std() > 1
        assert abs(a - b).max() <= 1


def test_a_graph_that_differs_is_refused_and_not_written(made, images, tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    source, path, _ = made["unet"]
    graph = onnx.load(path)
    weights = next(w for w in graph.graph.initializer if len(w.dims) == 4)
    changed = onnx.numpy_helper.to_array(weights) * 1.5
    weights.CopyFrom(onnx.numpy_helper.from_array(changed, weights.name))
    monkeypatch.setattr(export, "graph", lambda _: graph)
    with pytest.raises(I2IError, match=r"off by .* more than the limit of 0.001; it was not written"):
        export.export(source, tmp_path / "m.onnx", check=images)
    assert not [*tmp_path.iterdir()]
    (tmp_path / "kept.onnx").write_text("before")
    i2i("export", "--model", source, "-o", tmp_path / "kept.onnx", "--check", images, "--overwrite", code=1)
    assert (tmp_path / "kept.onnx").read_text() == "before"
    _, err = i2i("export", "--model", source, "-o", tmp_path / "kept.onnx", code=1)
    assert "exists" in err
    out, _ = i2i("export", "--model", source, "-o", tmp_path / "m.onnx", "--check", images, "--limit", 9)
    assert "largest difference" in out


def test_what_cannot_be_is_said(made, images, tmp_path, monkeypatch):
    source, path, _ = made["unet"]
    with pytest.raises(I2IError, match="can translate AtoB"):
        load(path, direction="BtoA")
    with pytest.raises(I2IError, match="image statistics"):
        load(path, statistics="stored")
    with pytest.raises(I2IError, match="fp32"):
        load(path, precision="bf16")
    with pytest.raises(I2IError, match="cut into tiles"):
        translate(images, tmp_path / "o", path, tile=16)
    with pytest.raises(I2IError, match="ONNX file already"):
        export.export(path, tmp_path / "m.onnx")
    with pytest.raises(I2IError, match=r"end in \.onnx"):
        export.export(source, tmp_path / "m.pb")
    with pytest.raises(I2IError, match="no images"):
        export.export(source, tmp_path / "m.onnx", check=tmp_path)
    (tmp_path / "bad.onnx").write_bytes(path.read_bytes()[:900])
    with pytest.raises(I2IError, match="not an ONNX file, or it is damaged"):
        load(tmp_path / "bad.onnx")
    graph = pytest.importorskip("onnx").load(path)
    onnx_file.write(graph, {}, tmp_path / "other.onnx")
    with pytest.raises(I2IError, match="another program"):
        load(tmp_path / "other.onnx")
    for odd in ({"multiple": 0}, {"channels_in": -3}, {"bytes_per_pixel": 0}, {"radius": "x"}):
        onnx_file.write(graph, {**OnnxNet(path).header, **odd}, tmp_path / "odd.onnx")
        with pytest.raises(I2IError, match="another program"):
            load(tmp_path / "odd.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(I2IError, match=r"onnxruntime, which is not installed\. .*i2i-toolkit\[onnx\]"):
        load(path)


def test_an_onnx_file_runs_as_it_is_where_networks_are_compiled(made, images, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda net: pytest.fail("torch cannot compile what onnxruntime runs"))
    plain = translate(images, tmp_path / "plain", made["unet"][1]).done
    compiled = translate(images, tmp_path / "compiled", made["unet"][1], compile=True).done
    assert [p.read_bytes() for p in compiled] == [p.read_bytes() for p in plain]
    assert plain


# ---- files that are not for every image ----------------------------------------------------------------------------


@pytest.fixture
def fixed(made, tmp_path):
    """An exported file whose graph takes one image of 64 x 64 pixels only."""
    onnx = pytest.importorskip("onnx")
    proto = onnx.load(made["unet"][1])
    for axis, length in ((0, 1), (2, 64), (3, 64)):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = length
    onnx.save(proto, tmp_path / "fixed.onnx")
    return tmp_path / "fixed.onnx"


def test_axes_have_names_that_say_what_they_are(made):
    onnx = pytest.importorskip("onnx")
    for _, path, _ in made.values():
        graph = onnx.load(path).graph
        for value in (graph.input[0], graph.output[0]):
            dims = [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
            assert dims == ["batch", 3, "height", "width"]
        inner = " ".join(d.dim_param for v in graph.value_info for d in v.type.tensor_type.shape.dim)
        assert set(re.findall(r"[a-z]\w*", inner)) <= {"batch", "height", "width"}


def test_an_image_that_onnxruntime_cannot_process_fails_alone(fixed, tmp_path):
    for name, side in (("a", (64, 64)), ("b", (40, 30)), ("c", (64, 64)), ("d", (128, 64))):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.new("RGB", side, (9, 99, 200)).save(tmp_path / "in" / f"{name}.png")
    words = ("-o", tmp_path / "out", "--model", fixed)
    _, err = i2i("translate", tmp_path / "in", *words, code=3)
    assert "2 images translated" in err
    assert "onnxruntime cannot process 40 x 32 pixels: Got invalid dimensions for input" in err
    assert "RuntimeError" not in err
    assert sorted(p.name for p in (tmp_path / "out").glob("[!.]*")) == ["a.png", "c.png"]
    _, err = i2i("translate", tmp_path / "in" / "b.png", "-o", tmp_path / "b.png", "--model", fixed, code=1)
    assert err.splitlines()[-1].endswith("The file takes images of 64 x 64 pixels only: add --size 64x64.")
    i2i("translate", tmp_path / "in" / "b.png", "-o", tmp_path / "b.png", "--model", fixed, "--size", "64x64")
    assert Image.open(tmp_path / "b.png").size == (64, 64)


def test_a_graph_that_makes_no_image_of_that_size_is_named(made, monkeypatch):
    net = OnnxNet(made["unet"][1])
    for shape in ((1, 3, 8, 16), (1, 1, 16, 16), (1, 3), (2, 3, 16, 16), (1, 3, 24, 24)):
        monkeypatch.setattr(net, "session", Session(np.zeros(shape, np.float32)))
        with pytest.raises(I2IError, match=r"turns images of shape \[1, 3, 16, 16\] into"):
            net(torch.zeros(1, 3, 16, 16))
    monkeypatch.setattr(net, "session", Session(np.zeros((1, 3, 32, 32), np.float32)))
    assert net(torch.zeros(1, 3, 16, 16)).shape == (1, 3, 32, 32)
    monkeypatch.setattr(net, "session", Session(Exception("[ONNXRuntimeError] : 1 : FAIL : Failed to allocate memory")))
    with pytest.raises(MemoryError, match=r"^Failed to allocate memory"):
        net(torch.zeros(1, 3, 16, 16))


class Session:
    """Stands in for onnxruntime: gives one answer, or raises it."""

    def __init__(self, answer):
        self.answer = answer

    def get_inputs(self):
        return [SimpleNamespace(name="picture", shape=["batch", 3, "height", "width"])]

    def run(self, names, inputs):
        if isinstance(self.answer, Exception):
            raise self.answer
        return [self.answer]


def test_export_says_what_it_does_and_how_the_file_is_used(made, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (20, 20)).save("photo.jpg")
    out, err = i2i("export", "--model", made["resnet"][0], "-o", "my back.onnx", "--direction", "BtoA")
    assert err.splitlines()[0] == "Writing my back.onnx: this may take a minute."
    use = out.splitlines()[-1]
    assert use == "Use it:  i2i translate photo.jpg --model 'my back.onnx' --direction BtoA"
    i2i(*shlex.split(use.partition("i2i ")[2]))
    assert "photo.my back.jpg" in [p.name for p in tmp_path.iterdir()]
    out, _ = i2i("models", "show", "my back.onnx")
    assert "ONNX, written by i2i export" in out
    torch.save(load(made["resnet"][0], "cpu", direction="BtoA").network.state_dict(), "net_G.pth.tar")
    assert "state dict of PyTorch" in i2i("models", "show", "net_G.pth.tar")[0]


def test_an_export_in_8_bits_is_smaller_and_near_the_model(made, images, tmp_path, monkeypatch):
    torch.manual_seed(0)
    net = nets.build("unet", width=16, depth=4)
    path = model_file.save(tmp_path / "m.safetensors", {"G": net}, {"direction": "BtoA"})
    whole = export.export(path, tmp_path / "whole.onnx", check=images)
    small = export.export(path, tmp_path / "small.onnx", check=images, quantize="int8", limit=0.1)
    assert whole.mean < small.mean < 0.1  # in 8 bits the outputs differ
    assert small.path.stat().st_size < 0.5 * whole.path.stat().st_size
    x = torch.rand(2, 3, 32, 48) * 2 - 1
    difference = (load(small.path)(x) - load(path, "cpu")(x)).abs()
    assert 0 < difference.mean() < 0.2
    assert load(small.path).header["direction"] == "BtoA", "pairs are read as those that the model was trained on"
    with pytest.raises(I2IError, match=r"more than the limit of the mean of 0\.02; it was not written"):
        export._check_difference(0.01, 0.03, 0.02, in_8_bits=True)
    export._check_difference(0.5, 0.01, 0.02, in_8_bits=True)  # single values may differ more
    with pytest.raises(I2IError, match=r"^--quantize is 'int4'\."):
        export.export(path, tmp_path / "no.onnx", quantize="int4")
    # Too far from the network with maps joined in 8 bits: then they are joined in 32.
    found, asked = iter([(0.5, 0.05), (0.4, 0.01)]), []
    in_8_bits = onnx_file.imported("onnx").load(small.path)
    monkeypatch.setattr(export, "compare", lambda *_: next(found))
    monkeypatch.setattr(quantize, "to_int8", lambda program, batches, kinds: asked.append(kinds) or in_8_bits)
    exact = export.export(path, tmp_path / "exact.onnx", check=images, quantize="int8")
    assert exact.mean == 0.01
    assert ["Concat" in kinds for kinds in asked] == [True, False]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bridge", "unsb"])
def test_a_network_that_answers_in_steps_makes_a_fixed_number_of_them(name, images, tmp_path):
    sizes = {"width": 8, "groups": 4, "head": 4, "multiples": (1, 2), "blocks": 1}
    torch.manual_seed(0)
    net = nets.build(name, **(sizes if name == "bridge" else {"blocks": 1, "width": 4, "timed": True}))
    for p in net.parameters():
        torch.nn.init.normal_(p, 0.0, 0.2)
    path = model_file.save(tmp_path / "m.safetensors", {"G": net}, {"method": name})
    check = export.export(path, tmp_path / "m.onnx", check=images, steps=2)
    assert check.notes == ("The ONNX file always makes 2 steps and gives the first answer of seed 0.",)
    assert check.largest < 1e-3
    x = torch.rand(2, 3, 24, 40) * 2 - 1
    expected = load(path, "cpu").with_choice(nets.Choice(steps=2))(x)
    assert (load(tmp_path / "m.onnx")(x) - expected).abs().max() < 1e-3
    with pytest.raises(I2IError, match="has no choice of --steps"):
        load(tmp_path / "m.onnx").with_choice(nets.Choice(steps=2))


def test_steps_of_0_are_refused(made, tmp_path):
    with pytest.raises(I2IError, match=r"^steps is 0"):
        export.export(made["unet"][0], tmp_path / "x.onnx", steps=0)
