"""What users of other programs type here by habit, and the words of i2i for it."""

from __future__ import annotations

import shlex
from typing import Any

from i2i.core.files import kind_of
from i2i.core.other_names import SETTINGS, STEPS
from i2i.core.suggest import same_name, similar

# A command that other programs have -> the command of i2i.
COMMANDS = {
    **dict.fromkeys(("predict", "infer", "inference", "test", "apply", "convert", "stylize", "process"), "translate"),
    **dict.fromkeys(("fit", "training", "finetune", "new"), "train"),
    **dict.fromkeys(("eval", "val", "validate", "score", "metrics", "benchmark"), "evaluate"),
    **dict.fromkeys(("sample", "gen", "create", "draw"), "generate"),
    **dict.fromkeys(("configs", "config"), "recipes"),
    **dict.fromkeys(("dataset", "datasets"), "data"),
    **dict.fromkeys(("zoo", "weights", "list", "ls"), "models"),
    **dict.fromkeys(("download", "fetch"), "data get"),
    **dict.fromkeys(("info", "inspect"), "models show"),
    **dict.fromkeys(("prune", "distill", "quantize", "shrink"), "compress"),
    **dict.fromkeys(("onnx",), "export"),
    **dict.fromkeys(("gui", "web", "app", "ui", "serve", "server", "studio"), "demo"),
    **dict.fromkeys(("resume", "continue"), "train --resume"),
}
# An option that other programs have, without its dashes -> the options of i2i, the first that the command has counts.
OPTIONS = {
    **dict.fromkeys(("dataroot", "dataset", "data_dir", "data_path", "images_dir"), ("--data",)),
    **dict.fromkeys(("gpu", "gpus", "gpu_ids", "cuda"), ("--device cuda:0",)),
    **dict.fromkeys(("cpu", "no_cuda", "no_gpu"), ("--device cpu",)),
    **dict.fromkeys(("fp16", "half", "amp", "mixed_precision"), ("--precision fp16",)),
    **dict.fromkeys(("bf16",), ("--precision bf16",)),
    **dict.fromkeys(("batch_size", "bs", "batchsize", "b"), ("--batch",)),
    **dict.fromkeys(("n_epochs", "num_epochs", "max_epochs"), ("--epochs",)),
    **dict.fromkeys(("img_size", "imgsz", "image_size", "crop_size", "resolution"), ("--size",)),
    **dict.fromkeys(
        ("name", "checkpoints_dir", "outdir", "out_dir", "save_dir", "project", "o"), ("--out", "--output")
    ),
    **dict.fromkeys(("output_dir", "results_dir", "out", "dst", "dest", "target"), ("--output", "--out", "--save")),
    **dict.fromkeys(("ckpt", "checkpoint", "net", "m", "network"), ("--model", "--resume")),
    **dict.fromkeys(("weights", "weight", "pretrained", "pretrained_model", "finetune"), ("--model", "--init-from")),
    **dict.fromkeys(("continue_train", "resume_from", "load"), ("--resume",)),
    **dict.fromkeys(("num_workers", "num_threads", "threads", "jobs", "j"), ("--workers", "--processes")),
    **dict.fromkeys(("nproc_per_node", "nproc", "num_processes", "ngpu", "num_gpus"), ("--processes",)),
    **dict.fromkeys(("force", "f", "yes", "y", "exist_ok"), ("--overwrite",)),
    **dict.fromkeys(("num", "num_images", "count", "n_samples", "how_many"), ("--number", "--limit")),
    **dict.fromkeys(("silent", "no_progress"), ("--quiet",)),
    **dict.fromkeys(("ext", "suffix", "type"), ("--format",)),
}
# What other programs call the values of settings.
VALUES = {
    **dict.fromkeys(("unet_256", "unet_128"), "unet"),
    **dict.fromkeys(("resnet_9blocks", "resnet_6blocks"), "resnet"),
}


def options_of(command: Any) -> dict[str, bool]:
    """{option of a command, with its dashes: whether a value follows it}."""
    params = [p for p in command.params if p.param_type_name == "option"]
    options = {name: not (p.is_flag or p.count) for p in params for name in (*p.opts, *p.secondary_opts)}
    return {**options, "--help": False, "-h": False}


def command_of(word: str) -> str:
    """The command of i2i that other programs call `word`; empty if there is none."""
    return COMMANDS.get(same_name(word, COMMANDS) or "", "")


def instead_of_command(args: list[str]) -> str:
    """A hint for words that begin with no command: the whole line as it should be typed; empty if nothing is known."""
    name, rest = args[0], args[1:]
    command = command_of(name)
    if command:
        line = f"i2i {command} {shlex.join(rest)}".rstrip()
        if rest:
            return f"It is called {command.split()[0]}. Type: {line}"
        return f"It is called {command.split()[0]}: i2i {command.split()[0]} --help explains it."
    if name.lower().endswith((".yaml", ".py")) and kind_of(name) == "file":
        return f"To train it, type: {shlex.join(['i2i', 'train', *args])}"
    if kind_of(name):
        model = "" if any(word.split("=")[0] in ("-m", "--model") for word in rest) else " --model cyclegan_daynight"
        return f"To translate it, type: {shlex.join(['i2i', 'translate', *args])}{model}"
    from i2i.models import zoo
    from i2i.training import recipes

    recipe = same_name(name, recipes.recipes())
    if recipe is not None:
        line = shlex.join(["i2i", "train", recipe, *rest])
        return f"It is a recipe. To train it, type: {line}{'' if rest else ' --data FOLDER'}"
    model_name = same_name(name, zoo.names())
    if model_name in zoo.names("generate"):
        line = shlex.join(["i2i", "generate", "--model", model_name, *rest])
        return f"It is a model. To use it, type: {line}{'' if rest else ' --grid images.png'}"
    if model_name is not None:
        images = [word for word in rest if not word.startswith("-")] or ["photo.jpg"]
        return f"It is a model. To use it, type: {shlex.join(['i2i', 'translate', *images, '--model', model_name])}"
    return ""


def instead_of_option(typed: str, options: list[str], settings: list[str]) -> str:
    """A hint for an option that a command does not have; empty if nothing is near.

    typed: such as --lr; options: those of the command, with their dashes; settings: names that its --set takes."""
    key = typed.lstrip("-").partition("=")[0].replace("-", "_").lower()
    for instead in OPTIONS.get(key, ()):
        if instead.split()[0] in options:
            return f"Give {instead}."
    if key in STEPS and "--images" in options:
        return "The length of a run is counted in images: give --images, the steps times --batch."
    setting = SETTINGS.get(key, key)
    if setting in settings:
        return f"{setting} is a setting: --set {setting}=VALUE."
    near = similar(typed, options)
    if near:
        return f"Did you mean {' or '.join(near[:3])}?"
    near = similar(setting, settings)
    return f"Did you mean the setting --set {near[0]}=VALUE?" if near else ""
