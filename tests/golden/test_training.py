"""Training traces: every recorded loss, first gradients, final weights; in float64 sharply, in float32 roughly."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from i2i.data.batch import Batch, Shape
from i2i.methods._method import Method, Now
from i2i.methods.cut import CUT
from i2i.methods.cyclegan import CycleGAN
from i2i.methods.pix2pix import Pix2Pix
from i2i.nets import patches
from i2i.nets.blocks import InstanceNorm
from tests.golden.reading import LOSS_OF, Case, cases, resnet_blocks, unet_depth

NETWORKS = {
    "pix2pix": {"G": "G", "D": "D"},
    "cycle_gan": {"G_A": "G", "G_B": "F", "D_A": "D_y", "D_B": "D_x"},
    "cut": {"G": "G", "D": "D", "F": "H"},
}
METHODS: dict[str, Any] = {"pix2pix": Pix2Pix, "cycle_gan": CycleGAN, "cut": CUT}


def settings(options: dict[str, Any]) -> dict[str, Any]:
    """Our Config values for the reference's options, with its defaults."""
    if options["model"] == "cut":
        return cut_settings(options)
    unet, paired = options["netG"].startswith("unet_"), options["model"] == "pix2pix"
    values = {
        "generator": "unet" if unet else "resnet",
        "depth": unet_depth(options["netG"]) if unet else 0,
        "blocks": 0 if unet else resnet_blocks(options["netG"]),
        "width": options.get("ngf", 64),
        "norm": options.get("norm", "batch" if paired else "instance"),
        "dropout": not options.get("no_dropout", True),
        "init": options.get("init_type", "normal"),
        "gain": options.get("init_gain", 0.02),
        "discriminator": "pixel" if options["netD"] == "pixel" else "patchgan",
        "layers": options.get("n_layers_D", 3) if options["netD"] == "n_layers" else 3,
        "d_width": options.get("ndf", 64),
        "loss": LOSS_OF[options.get("gan_mode", "vanilla" if paired else "lsgan")],
        "gp": 0.0,  # the reference defines the penalty, but its models do not use it
        "lr": options.get("lr", 2e-4),
        "beta1": options.get("beta1", 0.5),
    }
    if paired:
        return values | {"l1": options.get("lambda_L1", 100.0)}
    return values | {
        "cycle_x": options.get("lambda_A", 10.0),
        "cycle_y": options.get("lambda_B", 10.0),
        "identity": options.get("lambda_identity", 0.5),
        "pool": options.get("pool_size", 50),
    }


def cut_settings(options: dict[str, Any]) -> dict[str, Any]:
    """The same for CUT, whose option CUT_mode stands for several."""
    fast = options.get("CUT_mode", "CUT").lower() == "fastcut"
    antialias = not options.get("no_antialias", False)
    assert antialias is not options.get("no_antialias_up", False), "the two are one setting here"
    assert options.get("normG", "instance") == options.get("normD", "instance"), "the two are one setting here"
    return {
        "blocks": resnet_blocks(options["netG"]),
        "width": options.get("ngf", 64),
        "norm": options.get("normG", "instance"),
        "dropout": not options.get("no_dropout", True),
        "antialias": antialias,
        "layers": options.get("n_layers_D", 3) if options["netD"] == "n_layers" else 3,
        "d_width": options.get("ndf", 64),
        "loss": LOSS_OF[options.get("gan_mode", "lsgan")],
        "adv": options.get("lambda_GAN", 1.0),
        "nce": options.get("lambda_NCE", 10.0 if fast else 1.0),
        "identity": options.get("nce_idt", not fast),
        "mirror": options.get("flip_equivariance", fast),
        "taps": tuple(int(i) for i in str(options.get("nce_layers", "0,4,8,12,16")).split(",")),
        "patches": options.get("num_patches", 256),
        "dim": options.get("netF_nc", 256),
        "temperature": options.get("nce_T", 0.07),
        "all_negatives": options.get("nce_includes_all_negatives_from_minibatch", False),
        "lr": options.get("lr", 2e-4),
        "beta1": options.get("beta1", 0.5),
    }


def recorded(model: str, terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """The reference's names of the losses, from our terms."""
    if model == "pix2pix":
        # It logs D's two terms without the factor one half.
        return {
            "G_GAN": terms["adv"],
            "G_L1": terms["l1"],
            "D_real": 2 * terms["real"],
            "D_fake": 2 * terms["fake"],
        }
    zero = torch.zeros(())
    if model == "cut":
        half = 2 if "nce_identity" in terms else 1
        return {
            "G_GAN": terms["adv"],
            "D_real": 2 * terms["real"],
            "D_fake": 2 * terms["fake"],
            "G": terms["adv"] + terms["nce"] + terms.get("nce_identity", zero),
            "NCE": half * terms["nce"],
            "NCE_Y": half * terms.get("nce_identity", zero),
        }
    return {
        "D_A": terms["real_y"] + terms["fake_y"],
        "G_A": terms["adv_y"],
        "cycle_A": terms["cycle_x"],
        "idt_A": terms.get("identity_y", zero),
        "D_B": terms["real_x"] + terms["fake_x"],
        "G_B": terms["adv_x"],
        "cycle_B": terms["cycle_y"],
        "idt_B": terms.get("identity_x", zero),
    }


@dataclass
class Trace:
    """What a run of our method gave, under the reference's names."""

    losses: list[list[float]] = field(default_factory=list)
    gradients: dict[str, Tensor] = field(default_factory=dict)
    states: dict[str, Tensor] = field(default_factory=dict)
    fakes: dict[str, Tensor] = field(default_factory=dict)
    shown: dict[str, Tensor] = field(default_factory=dict)


def sides(case: Case) -> tuple[str, str]:
    """Which stored side is the source: (x, y)."""
    note = re.search(r"real_A is batch\*?_([AB])", case.manifest.get("direction_note", ""))
    first = note[1] if note else case.manifest["options"].get("direction", "AtoB")[0]
    return ("A", "B") if first == "A" else ("B", "A")


def watch(method: Method, case: Case, trace: Trace) -> None:
    """Records the fakes and what the pools return; gives both pools the reference's stream of random numbers."""
    pool = case.manifest.get("pool", {})
    seed = pool.get("python_random_seed", case.manifest["seeds"].get("pool"))
    stream = random.Random(seed) if seed is not None else None
    for name, history in (("fake_B", "history_y"), ("fake_A", "history_x")):
        if hasattr(method, history):
            held = getattr(method, history)
            held.random = stream

            def query(fakes: Tensor, held: Any = held, ask: Any = held.query, name: str = name) -> Tensor:
                found: Tensor = ask(fakes)
                step = len(trace.losses) + 1
                trace.shown[f"pool_step{step}_{name}_pool"] = found.clone()
                trace.fakes.setdefault(name, fakes.detach().clone())
                return found

            held.query = query
    if isinstance(method, CUT):  # the places that the reference drew

        def places(features: list[Tensor], now: Now, side: str) -> list[Tensor]:
            name = {"x": "NCE", "y": "NCE_Y"}[side]
            return [case.tensors[f"ids_step{now.step + 1}_{name}_{i}"].long() for i in range(len(features))]

        method.positions = places  # type: ignore[method-assign]


def transposed(features: Tensor, places: Tensor) -> Tensor:
    """`at_places` as the reference takes them, from a transposed view, so that its gradient is channels last."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)[:, places].flatten(0, 1)


@contextlib.contextmanager
def as_recorded(case: Case) -> Iterator[None]:
    """Repeats a fault of torch that the traces of CUT were computed with: the backward pass of instance norm for a
    single image on a CPU mistakes a channels-last gradient for a contiguous one (see `InstanceNorm`)."""
    with pytest.MonkeyPatch.context() as patch:
        if case.manifest["options"]["model"] == "cut":
            patch.setattr(patches, "rows_at", transposed)
            patch.setattr(InstanceNorm, "forward", torch.nn.InstanceNorm2d.forward)
        yield


def run(case: Case, dtype: torch.dtype) -> Trace:
    with as_recorded(case):
        return trained(case, dtype)


def trained(case: Case, dtype: torch.dtype) -> Trace:
    options = case.manifest["options"]
    model = options["model"]
    kind = METHODS[model]
    source, target = sides(case)
    first = case.tensors[f"batch1_{source}"]
    shape = Shape(options.get("input_nc", 3), options.get("output_nc", 3), options.get("crop_size", first.shape[-1]))
    method: Method = kind(kind.Config(**settings(options)), shape)
    for theirs, ours in NETWORKS[model].items():
        getattr(method, ours).load_state_dict(case.group(f"init_{theirs}"))
    method.to(dtype).train()
    trace = Trace()
    watch(method, case, trace)
    if model != "cycle_gan":

        def keep(_: Any, __: Any, made: Tensor | list[Tensor]) -> None:
            if isinstance(made, Tensor):  # and not features
                trace.fakes.setdefault("fake_B", made.detach().clone())

        method.networks()["G"].register_forward_hook(keep)
    optimizers = method.optimizers()
    names = case.manifest["loss_names"]
    for step in range(case.manifest["steps"]):
        x, y = (
            ((case.tensors[f"batch{step + 1}_{side}"].float() / 255 - 0.5) / 0.5).to(dtype) for side in (source, target)
        )
        now = Now(images=step * len(x), total=10**6, batch=len(x))
        terms: dict[str, Tensor] = {}
        for name, found in method.step(Batch(x, y), now):
            terms |= {k: v.detach() for k, v in found.items()}
            optimizer = optimizers[name]
            torch.stack(list(found.values())).sum().backward(inputs=method.owned(optimizer))
            if step == 0:
                owned = {id(p) for p in method.owned(optimizer)}
                for theirs, ours in NETWORKS[model].items():
                    for key, p in getattr(method, ours).named_parameters():
                        if id(p) in owned and p.grad is not None:
                            trace.gradients[f"{theirs}/{key}"] = p.grad.clone()
            optimizer.step()
            optimizer.zero_grad()
        values = recorded(model, terms)
        trace.losses.append([float(values[n]) for n in names])
    for theirs, ours in NETWORKS[model].items():
        trace.states |= {f"{theirs}/{k}": v.clone() for k, v in getattr(method, ours).state_dict().items()}
    return trace


def supported(case: Case) -> None:
    options = case.manifest["options"]
    if options["model"] not in NETWORKS:
        pytest.skip(f"no method here is the reference's {options['model']}")
    if options.get("flip_equivariance"):
        pytest.skip("which steps were mirrored is not recorded in a form that is known here")


@pytest.mark.parametrize("case", cases("training_trace"))
def test_float64(case: Case) -> None:
    """The sharp check: any difference in the algorithm shows."""
    supported(case)
    trace = run(case, torch.float64)
    case.close(torch.tensor(trace.losses, dtype=torch.float64), case["f64_losses"], "f64_losses")
    for network in NETWORKS[case.manifest["options"]["model"]]:
        for key, theirs in case.group(f"f64_final_{network}").items():
            t = trace.states[f"{network}/{key}"]
            ours = torch.stack([t.sum(), t.norm(), t.flatten()[0], t.flatten()[-1]])
            place = f"{network}/{key}"
            case.close(ours, theirs, "f64_final", msg=lambda m, place=place: f"{place}: {m}")


@pytest.mark.parametrize("case", cases("training_trace"))
def test_float32(case: Case) -> None:
    supported(case)
    trace, limits = run(case, torch.float32), case.manifest["tolerance"]
    losses, expected = torch.tensor(trace.losses), case["losses"].float()
    case.close(losses[0], expected[0], "first_step_losses")
    case.close(losses, expected, "losses")
    shadowed = set(case.manifest.get("norm_shadowed_biases", ()))
    for network in NETWORKS[case.manifest["options"]["model"]]:
        for key, theirs in case.group(f"grad1_{network}").items():
            if f"{network}/{key}" not in shadowed:
                ours = trace.gradients[f"{network}/{key}"]
                assert (ours - theirs).norm() <= 2e-2 * theirs.norm() + 1e-12, f"gradient of {network}/{key}"
        for key, theirs in case.group(f"final_{network}").items():
            if f"{network}/{key}" not in shadowed:
                error = (trace.states[f"{network}/{key}"].double() - theirs.double()).abs().mean()
                assert error <= limits["final_state"]["mean_abs_per_tensor"], f"{network}/{key} is off by {error}"


@pytest.mark.parametrize("case", cases("training_trace"))
def test_fakes_and_history(case: Case) -> None:
    """The fakes of step 1, and every image that the pools returned."""
    supported(case)
    trace = run(case, torch.float32)
    limit = "fake_step1" if "fake_step1" in case.manifest["tolerance"] else "fake_B_step1"
    for key in [k for k in case.tensors if k.endswith("_step1")]:
        theirs = case[key]
        ours = trace.fakes[key.removesuffix("_step1")]
        case.close(ours[: len(theirs)], theirs, limit, msg=lambda m, key=key: f"{key}: {m}")
    for key in [k for k in case.tensors if k.startswith("pool_step")]:
        error = (trace.shown[key] - case[key]).abs().mean()
        assert error <= 1e-3, f"{key} is another image: {error}"
