"""What other programs call the settings."""

from __future__ import annotations

from collections.abc import Iterable

from i2i.core.errors import nearest

# Another program's name, in lower case with _ -> the setting of i2i.
SETTINGS = {
    **dict.fromkeys(("resolution", "image_size", "img_size", "imgsz", "imsize", "crop_size", "fine_size"), "size"),
    "load_size": "load",
    **dict.fromkeys(("batch_size", "batchsize", "bs"), "batch"),
    "learning_rate": "lr",
    **dict.fromkeys(("n_epochs", "num_epochs", "max_epochs"), "epochs"),
    **dict.fromkeys(("num_workers", "n_workers", "num_threads"), "workers"),
    **dict.fromkeys(("gpu", "gpus", "gpu_ids", "cuda"), "device"),
    **dict.fromkeys(("amp", "fp16", "bf16", "half", "mixed_precision"), "precision"),
    "lambda_l1": "l1",
    "lambda_a": "cycle_x",
    "lambda_b": "cycle_y",
    **dict.fromkeys(("lambda_identity", "lambda_idt"), "identity"),
    "lambda_gp": "gp",
    "pool_size": "pool",
    "ngf": "width",
    "ndf": "d_width",
    **dict.fromkeys(("latent_dim", "z_dim", "nz"), "z"),
    "n_critic": "critic_steps",
    "netg": "generator",
    "gan_mode": "loss",
    **dict.fromkeys(("save_epoch_freq", "save_freq"), "save_every"),
    "input_nc": "channels_in",
    "output_nc": "channels_out",
    "no_dropout": "dropout",
    "no_flip": "flip",
    "n_layers_d": "layers",
    **dict.fromkeys(("wandb", "tensorboard", "logger", "report_to"), "trackers"),
    "ema_decay": "ema",
}
STEPS = ("steps", "max_steps", "iterations", "iters", "n_iter", "niter")  # lengths that i2i counts in images


def nearest_setting(name: str, settings: Iterable[str]) -> str:
    """A hint after an unknown setting: what i2i calls the setting of another program, else the nearest names.

    settings: those that the run has."""
    names = list(settings)
    key = name.replace("-", "_").lower()
    if key in STEPS and "images" in names:
        return "The length of a run is counted in images: give images, the steps times batch."
    own = SETTINGS.get(key)
    return f"Did you mean {own}?" if own in names else nearest(name, names)
