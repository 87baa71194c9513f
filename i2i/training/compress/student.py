"""Which student: its form, and how wide it may be for a budget of work or of time.

The width is the same share in all layers: no supernet is trained to search a width for each layer, which takes several
times the training of one student. Only the convolutions of a U-Net at the full size (`detail`) have another share: they
keep more of their channels, by the power DETAIL of it. (Of three students of pix2pix_earth with as many MACs, LPIPS was
best so; docs/compress.md.)
"""

from __future__ import annotations

import contextlib
import copy
import glob
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from i2i.core import fast_conv
from i2i.core.errors import I2IError
from i2i.nets.macs import Macs, count_macs
from i2i.nets.narrow import inner, of_width
from i2i.nets.registry import network_arguments, network_name
from i2i.training.start import read_start

MOBILE = {"resnet": "mobile_resnet", "unet": "mobile_unet"}  # networks with a separable form
FORMS = ("narrow", "mobile")
DETAIL = 0.75  # power of the share of the width that is the share of `detail`
PASSES = 15  # of which the fastest is the time of a network
SECONDS = 2.0  # that undisturbed passes are waited for
DISTURBED = 0.05  # share of a pass that its threads may wait for a processor


@dataclass(frozen=True)
class Budget:
    """What a student may cost: one of the three, and the first that is set counts. Default: a quarter of the work."""

    width: int = 0  # channels of its first layer
    latency: float = 0.0  # seconds for one image on this device
    times: float = 4.0  # times fewer multiply-accumulates than the teacher
    detail: int = 0  # beside any of the three: channels of a U-Net's convolutions at the full size; 0: by the width


def student_of(teacher: nn.Module, inputs: tuple[Tensor, ...], budget: Budget, form: str = "narrow") -> nn.Module:
    """The widest student within a budget, with random weights, on the teacher's device.

    inputs: of the teacher, for one image. form: narrow, the teacher's layers with fewer channels; mobile, with
    separable convolutions. Raises I2IError if there is none, or if it would be larger than its teacher."""
    arguments = network_arguments(inner(teacher))
    own = arguments.get("width")
    kind = kind_of(teacher, form)
    device = next(teacher.parameters()).device
    if not isinstance(own, int):
        of_width(teacher, 1)  # raises the sentence that says why

    assert isinstance(own, int)

    def build(width: int) -> nn.Module:
        return of_width(teacher, width, kind, budget.detail or detail_of(teacher, width)).to(device)

    if budget.detail > (arguments.get("detail") or 0):
        has = f"has detail {arguments['detail']}" if arguments.get("detail") else "has no detail"
        raise I2IError(
            f"--detail is {budget.detail}, and the teacher {has}.", "Give a smaller number, or leave it out."
        )
    whole = work(teacher, inputs)
    if budget.width:
        student = build(budget.width)
        if budget.width > own or work(student, inputs) >= whole:
            raise I2IError(
                f"The student of width {budget.width} would be as large as its teacher of width {own}, or larger.",
                f"Give --width 1 to {own - 1}, or --macs 4x.",
            )
        return student
    if budget.latency:
        return _widest(build, own, lambda net: latency(net, inputs) <= budget.latency, f"{budget.latency * 1e3:g} ms")
    if not budget.times > 1:
        raise I2IError(f"--macs is {budget.times:g}x.", "Give a number above 1: how many times fewer, such as 4x.")
    limit = whole / budget.times
    return _widest(build, own, lambda net: work(net, inputs) <= limit, f"{budget.times:g}x fewer multiply-accumulates")


def detail_of(teacher: nn.Module, width: int) -> int:
    """`detail` of a student: the teacher's times the width's share to the power DETAIL; 0 for other networks."""
    arguments = network_arguments(inner(teacher))
    own = int(arguments.get("detail") or 0)
    return max(1, round(own * (width / int(arguments["width"])) ** DETAIL)) if own else 0


def _widest(build: Callable[[int], nn.Module], most: int, fits: Callable[[nn.Module], bool], words: str) -> nn.Module:
    """The widest network that fits, by bisection: work and time grow with the width.

    Widths that a network cannot have, such as those that its heads do not divide, are passed over."""
    low, high, least = 0, most, most
    while (found := _near_the_middle(build, low, high)) is not None:
        width, network = found
        least = min(least, width)
        low, high = (width, high) if fits(network) else (low, width)
    if low == 0:
        raise I2IError(f"No student fits {words}, even of width {least}.", "Give a larger budget.")
    return build(low)


def _near_the_middle(build: Callable[[int], nn.Module], low: int, high: int) -> tuple[int, nn.Module] | None:
    """The width nearest to the middle between two that a network can have, and this network; None if there is none."""
    for width in sorted(range(low + 1, high), key=lambda width: abs(2 * width - low - high)):
        with contextlib.suppress(I2IError):
            return width, build(width)
    return None


def start_from(student: nn.Module, path: str, role: str) -> None:
    """Gives the student the weights of an earlier one, the network `role` of the model file `path`.

    Raises I2IError if that is another network."""
    weights, own = read_start(path).states.get(role, {}), student.state_dict()
    if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in own.items()}:
        raise I2IError(
            f"{path} is not a student of this width.",
            "Give the --width and --form that it was made with, or leave --init-from out.",
        )
    student.load_state_dict({k: v.to(own[k]) for k, v in weights.items()})


def kind_of(teacher: nn.Module, form: str) -> str:
    """The registered name of the student's class. Raises I2IError for a form that the teacher does not have."""
    kind = network_name(inner(teacher))
    if form not in FORMS:
        raise I2IError(f"The form is {form!r}.", f"Allowed: {', '.join(FORMS)}.")
    if form == "narrow" or kind.startswith("mobile"):
        return kind
    if kind not in MOBILE:
        raise I2IError(f"There is no mobile form of {type(inner(teacher)).__name__}.", "Give --form narrow.")
    return MOBILE[kind]


def work(network: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Multiply-accumulates that a device has to compute for `inputs`."""
    return macs(network, inputs).work


def macs(network: nn.Module, inputs: tuple[Tensor, ...]) -> Macs:
    """The multiply-accumulates of a network, whatever has been done to its convolutions."""
    plain = fast_conv.slow_down(copy.deepcopy(network)).cpu().eval()
    return count_macs(plain, *(x.cpu() for x in inputs))


def nonzero_share(network: nn.Module) -> float:
    """The share of weights that are not zero."""
    values = [p for p in network.parameters() if p.dim() > 1]
    return sum(int((p != 0).sum()) for p in values) / max(1, sum(p.numel() for p in values))


def latency(network: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """Seconds that a network takes for one image on its device; see `timed`."""
    return timed(network, inputs)[0]


@torch.inference_mode()
def timed(network: nn.Module, inputs: tuple[Tensor, ...], passes: int = PASSES) -> tuple[float, bool]:
    """(seconds that a network takes for one image on its device, whether other programs disturbed the measuring).

    The fastest of some passes in which no thread had to wait for a processor. If there is none within SECONDS on a CPU,
    the processor time of one thread, which is as long as the network takes on a free CPU, or longer."""
    device = next(network.parameters()).device
    network = copy.deepcopy(network).eval()
    if device.type == "cpu":
        fast_conv.speed_up(network)
    inputs = tuple(x.to(device) for x in inputs)

    def run() -> None:
        network(*inputs)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(2):
        run()
    free: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(free) < passes and (device.type != "cpu" or not free or time.perf_counter() < end):
        waited, used, begun = _waited(), time.process_time(), time.perf_counter()
        run()
        seconds = time.perf_counter() - begun
        lost = seconds - (time.process_time() - used) if waited is None else (_waited() or 0.0) - waited
        if device.type != "cpu" or lost <= DISTURBED * seconds:
            free.append(seconds)
        elif not free and time.perf_counter() > end:
            return _processor_time(run, passes), True
    return min(free), False


def _processor_time(run: Callable[[], None], passes: int) -> float:
    """The least processor time of some passes in one thread."""
    threads, seconds = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for _ in range(passes):
            begun = time.thread_time()
            run()
            seconds.append(time.thread_time() - begun)
    finally:
        torch.set_num_threads(threads)
    return min(seconds)


def _waited() -> float | None:
    """Seconds that the threads of this process were ready and had no processor; None where the system does not say."""
    total = 0
    for path in glob.glob("/proc/self/task/*/schedstat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # a thread has ended
            total += int(Path(path).read_text().split()[1])
    return total / 1e9 if total else None
