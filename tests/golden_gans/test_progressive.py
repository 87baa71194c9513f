"""Progressive growing against stored numbers: both networks at every size and fade-in, their parts, and averages."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from i2i.data.batch import Batch, Shape
from i2i.methods._optim import adam
from i2i.methods.progressive import Progressive
from i2i.nets import ProgressiveDiscriminator, ProgressiveGenerator
from i2i.nets.progressive import GAIN, equalized, growth_level, minibatch_deviation, size_and_alpha
from i2i.training.ema import EMA
from tests.golden_gans import variants
from tests.golden_gans.reading import Case, case, fill
from tests.golden_gans.variants import UnnormalizedProgressiveGenerator, contiguous_deviation, progressive_widths

WEIGHT = "parametrizations.weight.original"


def outputs(found: Case, net: nn.Module, z: Tensor | None = None) -> dict[str, Tensor]:
    """What `net` makes of the case's inputs at all sizes and fade-ins that its outputs are named after."""
    got = {}
    with torch.no_grad():
        for name in found.outputs:
            kind, _, alpha = name.partition(".alpha")
            size = int(kind.removeprefix("image").removeprefix("score"))
            if z is not None:
                got[name] = net(z, size, float(alpha))
            else:
                got[name] = net(found.inputs[f"image{size}"], float(alpha))
    return got


def paper_name(theirs: str, largest: int) -> str:
    """Our name for one of the authors' variables."""
    name = theirs.replace(".weight", f".{WEIGHT}")
    layer, _, rest = name.partition(".")
    if "lod" in layer:
        kind, _, lod = layer.partition("_lod")
        at = int(math.log2(largest)) - 2 - int(lod)
        return f"{'to_picture' if kind == 'ToRGB' else 'from_picture'}.{at}.{rest}"
    size = int(layer.split("x")[0])
    if size == 4:
        small = {"Dense.bias": "bias", "Dense1": "score", "Dense0": "dense", "Dense": "dense", "Conv": "conv"}
        for a, b in small.items():
            if rest.startswith(a):
                return b + rest.removeprefix(a)
    stage = int(math.log2(size)) - 3
    return f"blocks.{stage}.{rest.replace('Conv0', 'conv1').replace('Conv1', 'conv2')}"


def test_progressive_generator():
    found = case("progan_g")
    o = found.options
    largest = max(map(int, o["channels_per_stage"]))
    net = ProgressiveGenerator(o["latent"], 3, largest, o["fmap_base"], o["fmap_max"])
    widths = {str(4 * 2**k): layer.weight.shape[1] for k, layer in enumerate(net.to_picture)}  # type: ignore[union-attr, operator]
    assert widths == o["channels_per_stage"]
    weights = {paper_name(k, largest): v for k, v in found.weights.items()}
    fill(net, {**weights, "level": net.level})
    found.check(outputs(found, net, found.inputs["z"]))


def test_progressive_critic():
    found = case("progan_d")
    o = found.options
    largest = max(int(k.removeprefix("image")) for k in found.inputs)
    net = ProgressiveDiscriminator(3, largest, o["fmap_base"], o["fmap_max"], o["mbstd_group"])
    fill(net, {paper_name(k, largest): v for k, v in found.weights.items()})
    found.check(outputs(found, net))


# ---- weights of two other layouts, brought into ours by their scales ------------------------------------------------


def carried(net: nn.Module, weights: dict[str, tuple[Tensor, Tensor, float]]) -> None:
    """Fills the layers {name: (weight, bias, scale of both)} of `net`, whatever gain a layer of ours has."""
    state = net.state_dict()
    met = set()
    for layer, (weight, bias, scale) in weights.items():
        module = net.get_submodule(layer)
        ours = module.parametrizations.weight[0].scale  # type: ignore[union-attr, index]
        key = f"{layer}.{WEIGHT}"
        state[key].copy_((weight * scale / ours).reshape(state[key].shape))
        name = f"{layer}.bias"
        if name in state:
            state[name].copy_(bias * scale)
        met |= {key, name}
    assert set(state) <= met | {"level", "bias"}


def test_weights_of_a_layout_that_scales_biases_make_the_same_pictures():
    found = case("progan_zoo_g")
    depths, w = found.options["depths"], found.weights
    with progressive_widths(depths):
        net = ProgressiveGenerator(found.options["latent"], 3, 4 * 2 ** (len(depths) - 1))
    names = {"groupScale0.0": "conv"}
    for k in range(len(depths)):
        names[f"toRGBLayers.{k}"] = f"to_picture.{k}"
        names |= {f"scaleLayers.{k}.{i}": f"blocks.{k}.conv{i + 1}" for i in range(2)}
    layers = {}
    for theirs, ours in names.items():
        if f"{theirs}.module.weight" in w:
            layers[ours] = scaled(w[f"{theirs}.module.weight"], w[f"{theirs}.module.bias"])
    weight, bias, scale = scaled(w["formatLayer.module.weight"], w["formatLayer.module.bias"])
    net.bias = nn.Parameter((bias * scale).view(-1, 4, 4))  # one a unit, not one a channel
    layers["dense"] = (weight, bias, scale)
    carried(net, layers)
    found.check(outputs(found, net, found.inputs["z"]))


def scaled(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, float]:
    """A layer's weight and bias, and the scale that He's rule gives them."""
    return weight, bias, math.sqrt(2 / weight[0].numel())


def test_weights_of_a_third_layout_make_the_same_pictures():
    found = case("progan_alt_g")
    o, w = found.options, found.weights
    largest = 4 * 2 ** (sum(k.startswith("rgb_converters") for k in w) // 2 - 1)
    net = UnnormalizedProgressiveGenerator(o["latent"], 3, largest, o["fmap_base"], o["fmap_max"])
    layers = {}

    def keep(ours: str, theirs: str, channels_first: bool = True) -> None:
        weight, bias = w[f"{theirs}.weight"], w[f"{theirs}.bias"]
        weight = weight if channels_first else weight.movedim(0, -1).flatten(0, 2)  # a transposed convolution of 1x1
        scale = math.sqrt(2 / weight[0].numel())
        layers[ours] = (weight, bias / scale, scale)

    keep("dense", "layers.0.conv_1", False)
    keep("conv", "layers.0.conv_2")
    for k in range(len(net.to_picture)):
        keep(f"to_picture.{k}", f"rgb_converters.{k}")
        for i in (1, 2) if k else ():
            keep(f"blocks.{k - 1}.conv{i}", f"layers.{k}.conv_{i}")
    net.bias = nn.Parameter(w["layers.0.conv_1.bias"].view(-1, 1, 1))
    carried(net, layers)
    found.check(outputs(found, net, found.inputs["z"]))


def test_weights_of_a_layout_that_scales_biases_make_the_same_scores():
    found = case("progan_zoo_d")
    depths = found.options["depths"]
    with progressive_widths(depths):
        net = ProgressiveDiscriminator(3, 4 * 2 ** (len(depths) - 1), most=depths[0])
    names = {"decisionLayer": "score", "groupScaleZero.0": "conv", "groupScaleZero.1": "dense"}
    for k in range(len(depths)):
        names[f"fromRGBLayers.{k}"] = f"from_picture.{k}"
        names |= {f"scaleLayers.{k}.{i}": f"blocks.{k}.conv{i + 1}" for i in range(2)}
    layers = {}
    for theirs, ours in names.items():
        if f"{theirs}.module.weight" in found.weights:
            layers[ours] = scaled(*(found.weights[f"{theirs}.module.{part}"] for part in ("weight", "bias")))
    carried(net, layers)
    with contiguous_deviation(), torch.no_grad():
        got = outputs(found, net)
        for name in found.outputs:  # the reference never blends its discriminator at 8 pixels
            if name.startswith("score8."):
                got[name] = net(found.inputs["image8"], 1.0)
    found.check(got)


def test_weights_of_a_third_layout_make_the_same_scores():
    found = case("progan_alt_d")
    o, w = found.options, found.weights
    largest = max(int(k.removeprefix("image")) for k in found.inputs)
    last = int(math.log2(largest)) - 2
    head = w[f"layers.{last}.conv_2.weight"].shape[0]
    net = ProgressiveDiscriminator(3, largest, o["fmap_base"], o["fmap_max"])
    net.dense = equalized(nn.Linear(16 * net.conv.out_channels, head))
    net.score = equalized(nn.Linear(head, 1), 1.0)
    names = {f"layers.{last}.conv_{i}": layer for i, layer in enumerate(("conv", "dense", "score"), 1)}
    for k in range(last + 1):
        names[f"from_rgb.{k}.0"] = f"from_picture.{last - k}"
        if k < last:
            names |= {f"layers.{k}.conv_{i}": f"blocks.{last - 1 - k}.conv{i}" for i in (1, 2)}
    layers = {}
    for theirs, ours in names.items():
        weight, bias = w[f"{theirs}.weight"], w[f"{theirs}.bias"]
        scale = math.sqrt(2 / weight[0].numel())
        layers[ours] = (weight, bias / scale, scale)
    carried(net, layers)
    found.check(outputs(found, net))


# ---- small parts ---------------------------------------------------------------------------------------------------


def test_minibatch_deviation():
    found = case("minibatch_stddev")
    x, g = found.inputs["x"], found.options["group"]
    got = {
        f"strided_biased.g{g}": minibatch_deviation(x, g),
        "strided_biased.gall": minibatch_deviation(x, len(x)),
        f"contiguous_unbiased.g{g}": variants.minibatch_deviation(x, g, contiguous=True, unbiased=True),
        "identical_images": minibatch_deviation(x[:1].expand_as(x), g),
    }
    for name in found.outputs:
        if name.startswith("stylegan."):
            group, features = (int(part[1:]) for part in name.split(".")[1:])
            got[name] = variants.minibatch_deviation(x, group, features)
            if features == 1:
                assert torch.equal(minibatch_deviation(x, group), got[name])
    found.check(got)


def gain_of(text: str | float) -> float:
    """A gain as the manifest writes it: 1, 2.0, sqrt2, sqrt2/4."""
    number, _, divisor = str(text).partition("/")
    value = float(number.removeprefix("sqrt"))
    if number.startswith("sqrt"):
        value = GAIN if value == 2 else math.sqrt(value)
    return value / float(divisor or 1)


def test_equalised_learning_rate():
    found = case("equalized_lr")
    got: dict[str, Tensor] = {}
    for name, gain in found.options["gains"].items():
        weight = found.weights[f"{name}.weight"]
        layer: nn.Conv2d | nn.Linear
        if weight.ndim == 4:
            layer = nn.Conv2d(
                weight.shape[1], weight.shape[0], weight.shape[2], padding=weight.shape[2] // 2, bias=False
            )
        else:
            layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        equalized(layer, gain_of(gain))
        fill(layer, {WEIGHT: weight})
        x = found.inputs["x_conv" if weight.ndim == 4 else "x_dense"]
        got[f"{name}.out"] = layer(x)
        scale = layer.parametrizations.weight[0].scale  # type: ignore[union-attr, index]
        got[f"{name}.scale"] = torch.tensor(scale, dtype=torch.float64)
        if f"{name}.loss" in found.outputs:
            optimizer = adam([layer], 1e-3, 0.0, 0.99)
            loss = got[f"{name}.out"].square().mean()
            loss.backward()
            before = layer.weight.detach().clone()
            optimizer.step()
            got[f"{name}.loss"] = loss
            got[f"{name}.weight_after_adam"] = layer.state_dict()[WEIGHT]
            got[f"{name}.effective_step"] = layer.weight.detach() - before
    # a layout that scales biases is ours with scaled biases
    w, b = found.weights["zoo_conv.weight"], found.weights["zoo_conv.bias"]
    layer = equalized(nn.Conv2d(w.shape[1], w.shape[0], w.shape[2], padding=w.shape[2] // 2))
    scale = layer.parametrizations.weight[0].scale  # type: ignore[union-attr, index]
    fill(layer, {WEIGHT: w, "bias": b * scale})
    got |= {"zoo_conv.out": layer(found.inputs["x_conv"]), "zoo_conv.scale": torch.tensor(scale, dtype=torch.float64)}
    found.check(got)


def test_schedules():
    found = case("schedules")
    o = found.options
    last = o["log2"] - 2
    smallest = {int(k): v for k, v in o["mb"].items()}
    sizes = [4 * 2**k for k in range(last + 1)]
    shape = Shape(3, 3, sizes[-1])
    updates = tuple(smallest.get(s, o["base"]) for s in sizes)
    config = Progressive.Config(
        4, base=8, most=4, train=o["train"] * 1000, fade=o["fade"] * 1000, minibatch=updates, group=1
    )
    method = Progressive(config, shape)
    rows = []
    for kimg, *_ in found.outputs["schedule"].tolist():
        level = growth_level(kimg * 1000, o["train"] * 1000, o["fade"] * 1000, last)
        assert method.level(round(kimg * 1000)) == level
        size, alpha = size_and_alpha(level)
        part = method.parts(Batch(torch.zeros(max(updates), 3, 4, 4)), size)[0]
        rows.append([kimg, last - level, size, alpha, len(part)])
    averages = []
    for batch, half_life, ramp, images, _ in found.outputs["ema"].tolist():
        average = EMA(method, half_life * 1000, ramp or math.inf)
        average.networks = {}
        decay = average.decay(round(images), round(batch))
        averages.append([batch, half_life, ramp, images, decay])
    found.check(
        {"schedule": torch.tensor(rows, dtype=torch.float64), "ema": torch.tensor(averages, dtype=torch.float64)}
    )


def test_weight_average():
    """Parameters as stored. Running statistics are copied here, the other of the two ways in use."""
    found = case("ema")
    o, batches = found.options, found.inputs["batches"]
    after, before = found.weights["0.weight"].shape
    source = nn.Sequential(nn.Linear(before, after), nn.BatchNorm1d(after))
    fill(source, found.weights)

    class Holder(nn.Module):
        averaged = ("G",)

    holder = Holder()
    holder.G = source.train()
    average = EMA(holder, 1.0)  # type: ignore[arg-type]
    got: dict[str, Tensor] = {}
    for i, batch in enumerate(batches):
        with torch.no_grad():
            for p in source.parameters():
                p += 0.1 * (i + 1)
            source(batch)
        decay = 0.0 if i < o["start"] else o["decay"]
        average.decay = lambda *_, decay=decay: decay  # type: ignore[method-assign, misc]
        average.update(holder, i, 1)  # type: ignore[arg-type]
        ours = average.networks["G"].state_dict()
        got |= {f"iter{i}.{k}": v.clone() for k, v in ours.items()}
        assert torch.equal(ours["1.running_var"], source.state_dict()["1.running_var"])
    found.check(got, but=("*.running_*",))
