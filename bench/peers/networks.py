"""The CIFAR networks of the zoo in PyTorch, for timing beside senet: same convolutions, same batch norms, same SE blocks.

cifar_resnetN: He et al. 2016a, post-activation; cifar_preresnetN: He et al. 2016b, pre-activation; N = 6n + 2, option-A
shortcuts.  A name with the prefix se_ puts a squeeze-and-excitation block on the residual branch of every unit.
"""

import re

import torch
from torch import nn
from torch.nn import functional as F


class SqueezeExcite(nn.Module):
    def __init__(self, channels, reduction=16):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x):  # (N, C, H, W)
        squeezed = x.mean((2, 3), keepdim=True)
        gate = torch.sigmoid(self.fc2(F.relu(self.fc1(squeezed))))
        return x * gate


def conv3x3(channels_in, channels_out, stride=1):
    return nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)


def shortcut(x, channels, stride, centre):
    """Option A: every stride-th pixel, the missing channels zero (around the existing ones, or all after them)."""
    missing = channels - x.shape[1]
    if stride == 1 and missing == 0:
        return x
    before = missing // 2 if centre else 0
    return F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, before, missing - before))


class PostUnit(nn.Module):
    """relu(se(bn(conv(relu(bn(conv(x)))))) + shortcut(x))"""

    def __init__(self, channels_in, channels, stride, se):
        super().__init__()
        self.channels, self.stride = channels, stride
        self.conv1, self.bn1 = conv3x3(channels_in, channels, stride), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv3x3(channels, channels), nn.BatchNorm2d(channels)
        self.se = SqueezeExcite(channels) if se else nn.Identity()

    def forward(self, x):
        branch = F.relu(self.bn1(self.conv1(x)))
        branch = self.se(self.bn2(self.conv2(branch)))
        return F.relu(branch + shortcut(x, self.channels, self.stride, centre=True))


class PreUnit(nn.Module):
    """se(conv(relu(bn(conv(relu(bn(x))))))) + shortcut; in the network's first unit the shortcut starts after relu(bn(x))."""

    def __init__(self, channels_in, channels, stride, se, first):
        super().__init__()
        self.channels, self.stride, self.first = channels, stride, first
        self.bn1, self.conv1 = nn.BatchNorm2d(channels_in), conv3x3(channels_in, channels, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(channels), conv3x3(channels, channels)
        self.se = SqueezeExcite(channels) if se else nn.Identity()

    def forward(self, x):
        active = F.relu(self.bn1(x))
        branch = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return self.se(branch) + shortcut(active if self.first else x, self.channels, self.stride, centre=False)


class CifarNet(nn.Module):
    def __init__(self, depth, pre, se, classes=10):
        super().__init__()
        if (depth - 2) % 6:
            raise ValueError(f"depth {depth}: must be 6n + 2")
        units = (depth - 2) // 6
        self.pre = pre
        self.conv1 = conv3x3(3, 16)
        self.bn1 = nn.Identity() if pre else nn.BatchNorm2d(16)
        layers, channels_in = [], 16
        for stage, channels in enumerate((16, 32, 64)):
            for unit in range(units):
                stride = 2 if stage > 0 and unit == 0 else 1
                if pre:
                    layers.append(PreUnit(channels_in, channels, stride, se, first=not layers))
                else:
                    layers.append(PostUnit(channels_in, channels, stride, se))
                channels_in = channels
        self.units = nn.Sequential(*layers)
        self.bn = nn.BatchNorm2d(64) if pre else nn.Identity()
        self.fc = nn.Linear(64, classes)

    def forward(self, x):  # (N, 3, 32, 32)
        x = self.conv1(x)
        x = self.units(x if self.pre else F.relu(self.bn1(x)))
        if self.pre:
            x = F.relu(self.bn(x))
        return self.fc(x.mean((2, 3)))


def create(name):
    match = re.fullmatch(r"(se_)?cifar_(pre)?resnet(\d+)", name)
    if not match:
        raise SystemExit(f"{name}: the peers know [se_]cifar_resnetN and [se_]cifar_preresnetN")
    return CifarNet(int(match[3]), pre=bool(match[2]), se=bool(match[1]))
