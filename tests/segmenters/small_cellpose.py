"""A network of 30,000 weights with Cellpose's flows, trained in seconds: Cellpose-SAM's part at the size of a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pair = tuple[NDArray[Any], NDArray[np.int32]]


def build() -> Any:
    """The network, with the interface of Cellpose's own; the tests name it in ``network:``."""
    import torch
    from cellpose import vit
    from torch import nn

    def block(inside: int, outside: int, stride: int = 1) -> Any:
        return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1), nn.BatchNorm2d(outside), nn.ReLU())

    class Small(vit.BaseModel):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.stem = block(1, 12, 2)
            self.down1 = nn.Sequential(block(12, 20, 2), block(20, 20))
            self.down2 = nn.Sequential(block(20, 28, 2), block(28, 28))
            self.up1 = block(28 + 20, 20)
            self.up0 = block(20 + 12, 16)
            self.out = nn.Conv2d(16, 3 * 4, 1)

        def forward(self, x: Any) -> Any:
            stem = self.stem(x)
            one = self.down1(stem)
            two = self.down2(one)
            up = self.up1(torch.cat([nn.functional.interpolate(two, scale_factor=2.0), one], 1))
            up = self.up0(torch.cat([nn.functional.interpolate(up, scale_factor=2.0), stem], 1))
            return nn.functional.pixel_shuffle(self.out(up), 2), torch.zeros((len(x), 256))

    return Small()


def careless() -> Any:
    """The same network, but as if on a small card: more than two tiles at a time are more than it can hold."""
    import torch

    net = build()

    def refuse(module: Any, given: Any) -> None:
        if len(given[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    net.register_forward_pre_hook(refuse)
    return net


def hopeless() -> Any:
    """The same network where nothing fits."""
    import torch

    net = build()

    def refuse(module: Any, given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    net.register_forward_pre_hook(refuse)
    return net


def train(pairs: Sequence[Pair], path: Path, *, steps: int = 150) -> None:
    """Train on images and labels as Cellpose trains, and save the weights."""
    import torch
    from cellpose import dynamics, transforms

    torch.manual_seed(0)
    torch.set_num_threads(1)  # tests run side by side
    rng = np.random.default_rng(0)
    images, targets = [], []
    for image, labels in pairs:
        images.append(transforms.normalize_img(image[..., None].astype(np.float32), norm3D=False)[..., 0])
        flows, _ = dynamics.masks_to_flows_gpu(labels)
        targets.append(np.concatenate([5 * flows, labels[None] > 0]).astype(np.float32))
    net = build().train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, steps)
    for _ in range(steps):
        x, y = (np.stack(part) for part in zip(*(_crop(images, targets, rng) for _ in range(8)), strict=True))
        found = net(torch.from_numpy(x[:, None]))[0]
        truth = torch.from_numpy(y)
        loss = torch.nn.functional.mse_loss(found[:, :2], truth[:, :2]) / 2
        loss = loss + torch.nn.functional.binary_cross_entropy_with_logits(found[:, 2], truth[:, 2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    net.eval().save_model(path)


def _crop(images: Sequence[Any], targets: Sequence[Any], rng: np.random.Generator, size: int = 128) -> Any:
    which = int(rng.integers(len(images)))
    image, target = images[which], targets[which]
    y, x = (int(rng.integers(0, side - size + 1)) for side in image.shape)
    image, target = image[y : y + size, x : x + size], target[:, y : y + size, x : x + size].copy()
    for axis in (0, 1):
        if rng.random() < 0.5:
            image, target = np.flip(image, axis), np.flip(target, axis + 1).copy()
            target[axis] *= -1
    return np.ascontiguousarray(image), target
