"""Norms in half precision, over several processes, and compiled: what a GPU needs, as far as a CPU can show it."""

from __future__ import annotations

import copy

import pytest
import torch

from i2i.nets import build
from i2i.nets.blocks import BatchNorm, SyncBatchNorm, eval_mode, synchronized
from i2i.nets.progressive import pixel_norm


@pytest.mark.parametrize("size", [1e-4, 1.0, 300.0, 6e4])
def test_pixel_norm_in_half_precision_neither_vanishes_nor_overflows(size: float) -> None:
    x = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0)).clamp(-1, 1) * size
    half = pixel_norm(x.half())
    assert half.dtype == torch.float16
    assert half.isfinite().all()
    torch.testing.assert_close(half.float(), pixel_norm(x.half().float()), rtol=1e-3, atol=1e-3)
    assert pixel_norm(torch.zeros(1, 4, 2, 2).half()).eq(0).all()


@pytest.mark.parametrize("own", [True, False])
def test_batch_norm_over_processes_is_tested_with_each_images_own_statistics_too(own: bool) -> None:
    """Else the previews and the score of several GPUs would be those of another network than the saved one."""
    torch.manual_seed(0)
    net = build("unet", channels_in=3, channels_out=3, depth=4, width=4, norm="batch", dropout=True)
    x = torch.randn(3, 3, 16, 16)
    net.train()(x)  # statistics of their own
    converted = synchronized(copy.deepcopy(net))
    assert not any(isinstance(m, BatchNorm) for m in converted.modules())
    assert sum(isinstance(m, SyncBatchNorm) for m in converted.modules()) > 3
    assert converted.state_dict().keys() == net.state_dict().keys()
    with torch.no_grad():
        expected = eval_mode(net, own, False)(x)
        assert torch.equal(eval_mode(converted, own, False)(x), expected)
        alone = torch.cat([eval_mode(converted, own, False)(image[None]) for image in x])
    torch.testing.assert_close(alone, expected, rtol=1e-5, atol=1e-6)
