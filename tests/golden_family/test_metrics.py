"""Metrics, against what their authors' code computes."""

import torch
from torch import Tensor

from i2i.metrics import color, features, ms_ssim, perceptual, resize, segmentation, signs, study, swd
from i2i.nets.efficientnet import EfficientNetLite0
from tests.golden_family.reading import case, number, real_weights
from tests.golden_gans.reading import Case


def image(levels: Tensor) -> Tensor:
    """uint8 -> [-1, 1]."""
    return levels.double() / 127.5 - 1


def perceptual_pairs(found: Case) -> list[tuple[Tensor, Tensor]]:
    return [
        tuple(found.inputs[f"{side}{i}"][None].float() / 127.5 - 1 for side in "ab")
        for i in range(found.options["pairs"])
    ]


def check_perceptual(found: Case, metric: perceptual.LPIPS | perceptual.DISTS, gradient_range: float) -> None:
    pairs = perceptual_pairs(found)
    with torch.no_grad():
        got = {"fp16.total": torch.cat([metric(b, a) for a, b in pairs])}
        if isinstance(metric, perceptual.LPIPS):
            got["fp16.taps"] = torch.cat([metric.taps(a, b) for a, b in pairs])
    i = found.options["gradient_pair"]
    a, b = pairs[i]
    b.requires_grad_(True)
    metric(a, b).sum().backward()
    got[f"fp16.grad_b{i}"] = b.grad[0] * gradient_range
    found.check(got, but=("fp32.*",))


def test_lpips_alex() -> None:
    found = case("lpips_alex")
    check_perceptual(found, perceptual.LPIPS(real_weights(found)), 1)


def test_lpips_vgg() -> None:
    found = case("lpips_vgg")
    check_perceptual(found, perceptual.LPIPS(real_weights(found)), 1)


def test_dists() -> None:
    found = case("dists")
    weights = real_weights(found) | found.weights
    check_perceptual(found, perceptual.DISTS(weights), 2)  # gradients are stored for images in [0, 1]


def test_ms_ssim() -> None:
    found = case("ms_ssim")
    got = {}
    for i, count in enumerate(found.options["scales"]):
        x, y = (found.inputs[f"{k}{i}"].double() for k in "xy")
        assert ms_ssim.scales_for(*x.shape[2:]) == count
        parts = ms_ssim.ms_ssim_scales(x, y, found.options["data_range"])
        got |= {f"cs{i}": parts.contrast, f"ssim_last{i}": parts.last, f"ms_ssim_channel{i}": parts.total()}
        got |= {f"ms_ssim{i}": parts.total().mean(1), f"ssim{i}": ms_ssim.ssim_of(x, y, found.options["data_range"])}
        assert torch.allclose(ms_ssim.ms_ssim(image(x), image(y)), parts.total().mean(1), rtol=1e-9)
    found.check(got)


def test_mind() -> None:
    found = case("mind")
    one, two, three = (found.inputs[f"features{i}"] for i in (1, 2, 3))
    first, second = found.inputs["directions_12"], found.inputs["directions_13"]
    rows = found.inputs["index_13"]
    larger, smaller = (one[rows], three) if len(one) > len(three) else (one, three[rows])

    def of(a: Tensor, b: Tensor, directions: Tensor) -> Tensor:
        return number(features.sliced_wasserstein(a, b, directions))

    got = {"mind_12": of(one, two, first), "mind_13": of(larger, smaller, second), "mind_11": of(one, one, first)}
    got["f64.mind_12"] = of(one.double(), two.double(), first.double())
    got["f64.mind_13"] = of(larger.double(), smaller.double(), second.double())
    found.check(got)


def test_fcn_score() -> None:
    found = case("fcn_score")
    confusion = segmentation.confusion_matrix(
        found.inputs["true"], found.inputs["predicted"], found.options["classes"], found.options["ignore"]
    )
    got: dict[str, Tensor] = {"confusion": confusion}
    for prefix, absent_is_zero in (("eps.", True), ("", False)):
        score = segmentation.segmentation_score(confusion, absent_is_zero)
        for name in ("pixel_accuracy", "class_accuracy", "mean_iou"):
            got[prefix + name] = number(getattr(score, name))
        for name in ("per_class_accuracy", "per_class_iou"):
            got[prefix + name] = getattr(score, name).nan_to_num(nan=-1)
    found.check(got)


def test_colorfulness() -> None:
    found = case("colourfulness")
    options = found.options
    values = torch.cat(
        [color.colorfulness(image(found.inputs[f"picture{i}"])[None]) for i in range(options["pictures"])]
    )
    assert values[options["grey"]] < 1e-9
    difference = values[options["result"]] - values[options["truth"]]
    found.check({"colourfulness": values, "difference": difference, "mean": values.mean()})


def test_human_study() -> None:
    found = case("human_study")
    options = found.options
    scored = study.Trials(*(found.inputs[k][options["practice"] :] for k in ("real_side", "called_real", "algorithm")))
    count = scored.counts(options["algorithms"])
    drawn = study.bootstrap(scored, options["algorithms"], found.inputs["boot_people"], found.inputs["boot_trials"])
    got = {
        "count": count,
        "fooled": count[:, 0].double() / count[:, 1],
        "fooled_eps": study.fooled_rate(scored, options["algorithms"]),
        "boot.rates": drawn.rates,
        "boot.mean": drawn.mean,
        "boot.std": drawn.deviation,
        "boot.percentile": drawn.interval,
        "better": drawn.better(),
    }
    for name, table in (("wilson", count), ("wilson_table", found.inputs["table"])):
        rows = [study.wilson(int(k), int(n), options["z"]) for k, n in table]
        got[name] = torch.tensor(rows, dtype=torch.float64)
    percentile = got["boot.percentile"]
    got["boot.percentile"] = percentile if percentile.shape == found.outputs["boot.percentile"].shape else percentile.T
    found.check(got)


def test_resize_rules() -> None:
    found = case("cleanfid_resize")
    got = {}
    for name in found.outputs:
        if name.startswith("stats."):
            continue
        rule, i = name.rstrip("0123456789"), int(name[len(name.rstrip("0123456789")) :])
        whole = resize.resize(found.inputs[f"picture{i}"], found.options["sizes"][i], rule)
        step = found.options["strides"][i]
        got[name] = whole[:, ::step, ::step]
        whole = whole.double()
        values = [whole.mean((1, 2)), whole.std((1, 2), correction=0), whole.amin((1, 2)), whole.amax((1, 2))]
        got[f"stats.{name}"] = torch.stack(values)
    found.check(got)


def test_sliced_wasserstein_distance_of_patches() -> None:
    found = case("swd")
    options = found.options
    pyramids = [swd.laplacian_pyramid(found.inputs[k].double(), options["smallest"]) for k in "xy"]
    assert len(pyramids[0]) == options["levels"]
    got: dict[str, Tensor] = {}
    distances = []
    for level, bands in enumerate(zip(*pyramids)):
        got[f"band_x{level}"] = bands[0][0]
        x, y = (
            swd.descriptors(band, found.inputs[f"position_{k}{level}"], options["patch"])
            for k, band in zip("xy", bands)
        )
        distances.append(1000 * swd.sliced_distance(x, y, found.inputs[f"directions{level}"]))
    got["swd"] = torch.tensor(distances, dtype=torch.float64)
    got["swd_mean"] = got["swd"].mean()
    found.check(got)


def test_effnet_lite0() -> None:
    found = case("effnet_lite0")
    net = EfficientNetLite0().eval()
    perceptual.load_exactly(net, real_weights(found), "weights of EfficientNet-Lite0")
    means: list[Tensor] = []
    for block in net._blocks:
        block.register_forward_hook(lambda module, inputs, output: means.append(output.mean()))
    got: dict[str, Tensor] = {}
    rows: list[tuple[Tensor, ...]] = []
    for i in range(found.options["pictures"]):
        picture = found.inputs[f"picture{i}"].expand(3, -1, -1)
        resized = resize.resize(picture, found.options["size"], "quantized")
        step = found.options["resized_stride"]
        got[f"resized{i}"] = resized[:, ::step, ::step]
        means.clear()
        with torch.no_grad():
            inner, logits = net((resized[None] - 127) / 128)
        rows.append((inner[0], logits[0], torch.stack(means)))
    names = ("fp16.features", "fp16.logits", "fp16.block_mean")
    got |= {name: torch.stack([row[j] for row in rows]) for j, name in enumerate(names)}
    found.check(got, but=("fp32.*",))


def test_signs_of_failed_training() -> None:
    found = case("doctor_signs")
    options = found.options
    limits = signs.Thresholds(**{k: v for k, v in options.items() if k != "outputs"})
    x, y = image(found.inputs["x"]), image(found.inputs["y"])
    got = {
        "target.peaks": signs.spectrum_peaks(y),
        "target.flat": signs.flat_shares(y, limits.flat_levels),
        "target.correlation": signs.brightness_correlation(x, y),
    }
    names = ("inversion", "checkerboard", "black", "white", "flat")
    for kind in options["outputs"]:
        g = image(found.inputs[f"g.{kind}"])
        seen = signs.signs(x, g, y, paired=True, limits=limits)
        unpaired = signs.noop_ratio(x, g, y[found.inputs["other"]])
        fires = ["no-op" in seen.fires, unpaired < limits.noop, *(name in seen.fires for name in names)]
        got |= {
            f"{kind}.noop_paired": number(seen.noop),
            f"{kind}.noop_unpaired": number(unpaired),
            f"{kind}.correlation": seen.correlation,
            f"{kind}.inverted_share": number(seen.inverted_share),
            f"{kind}.peaks": seen.peaks,
            f"{kind}.peak_ratio": number(seen.peak_ratio),
            f"{kind}.flat": seen.flat,
            f"{kind}.fires": torch.tensor(fires, dtype=torch.int64),
        }
    found.check(got)
