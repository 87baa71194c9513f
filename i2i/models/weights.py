"""The weights of networks as tensors by name, and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

State = dict[str, Tensor]


def tensors_of(name: str, net: nn.Module, dtype: torch.dtype) -> State:
    """The tensors of a network by "name.key", copied to the CPU; floating-point ones as `dtype`."""
    tensors: State = {}
    for key, value in net.state_dict().items():
        saved_as = dtype if value.is_floating_point() else value.dtype
        # a copy: the container refuses tensors that share memory
        tensors[f"{name}.{key}"] = value.detach().to("cpu", saved_as, copy=True).contiguous()
    return tensors


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, types, shapes and values of all tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def weights_digest(state: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """Digest of a network's state dict and of how its norms and its dropout are used, in 32 hexadecimal digits."""
    used = (bool(header.get("dropout_at_test")), header.get("train_mode_norm"))
    digest = hashlib.blake2b(repr(used).encode(), digest_size=16)
    for key, value in sorted(state.items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
