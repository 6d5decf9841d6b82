"""The CIFAR networks with the tensor names of senet.

cifar_resnetN: He et al. 2016a, post-activation; cifar_preresnetN: He et al. 2016b, pre-activation; N = 6n + 2, option-A
shortcuts.  SE blocks sit on the residual branch of every unit.
"""

from torch import nn
from torch.nn import functional as F

from .blocks import squeeze_excite


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
        self.se = squeeze_excite(channels, se)

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
        self.se = squeeze_excite(channels, se)

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
        channels_in = 16
        for stage, channels in enumerate((16, 32, 64)):
            layer = []
            for unit in range(units):
                stride = 2 if stage > 0 and unit == 0 else 1
                if pre:
                    layer.append(PreUnit(channels_in, channels, stride, se, first=stage == 0 and unit == 0))
                else:
                    layer.append(PostUnit(channels_in, channels, stride, se))
                channels_in = channels
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layer))
        self.bn = nn.BatchNorm2d(64) if pre else nn.Identity()
        self.fc = nn.Linear(64, classes)

    def forward(self, x):  # (N, 3, 32, 32)
        x = self.conv1(x)
        x = x if self.pre else F.relu(self.bn1(x))
        x = self.layer3(self.layer2(self.layer1(x)))
        if self.pre:
            x = F.relu(self.bn(x))
        return self.fc(x.mean((2, 3)))


def create(base, se, options):
    pre = base.startswith("cifar_pre")
    return CifarNet(int(base.split("resnet")[1]), pre, se, int(options.pop("classes", 10)))
