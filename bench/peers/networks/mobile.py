"""MobileNet v1 and ShuffleNet v1 (1x, three groups) with the tensor names of senet."""

from torch import nn
from torch.nn import functional as F
import torch

from .blocks import conv, max_pool_ceil, squeeze_excite


class SeparableUnit(nn.Module):
    def __init__(self, channels_in, out, stride, se):
        super().__init__()
        self.conv_dw, self.bn1 = conv(channels_in, channels_in, 3, stride, 1, channels_in), nn.BatchNorm2d(channels_in)
        self.conv_pw, self.bn2 = conv(channels_in, out, 1), nn.BatchNorm2d(out)
        self.se = squeeze_excite(out, se)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv_dw(x)))
        return self.se(F.relu(self.bn2(self.conv_pw(x))))


class MobileNet(nn.Module):
    STAGES = (((64, 1),), ((128, 2), (128, 1)), ((256, 2), (256, 1)), ((512, 2), *((512, 1),) * 5), ((1024, 2), (1024, 1)))

    def __init__(self, se, classes=1000):
        super().__init__()
        self.conv_stem, self.bn1 = conv(3, 32, 3, 2, 1), nn.BatchNorm2d(32)
        stages, channels = [], 32
        for stage in self.STAGES:
            units = []
            for out, stride in stage:
                units.append(SeparableUnit(channels, out, stride, se))
                channels = out
            stages.append(nn.Sequential(*units))
        self.blocks = nn.Sequential(*stages)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn1(self.conv_stem(x))))
        return self.classifier(x.mean((2, 3)))


class ShuffleUnit(nn.Module):
    def __init__(self, channels_in, out, stride, se, groups=3):
        super().__init__()
        branch, middle = (out - channels_in if stride == 2 else out), out // 4
        self.stride, self.groups = stride, groups
        self.conv1 = conv(channels_in, middle, 1, groups=1 if channels_in == 24 else groups)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2, self.bn2 = conv(middle, middle, 3, stride, 1, middle), nn.BatchNorm2d(middle)
        self.conv3, self.bn3 = conv(middle, branch, 1, groups=groups), nn.BatchNorm2d(branch)
        self.se = squeeze_excite(branch, se)

    def shuffle(self, x):
        n, c, h, w = x.shape
        return x.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)

    def forward(self, x):
        y = self.shuffle(F.relu(self.bn1(self.conv1(x))))
        y = self.se(self.bn3(self.conv3(self.bn2(self.conv2(y)))))
        if self.stride == 1:
            return F.relu(x + y)
        return F.relu(torch.cat((F.avg_pool2d(x, 3, 2, 0, ceil_mode=True), y), 1))


class ShuffleNet(nn.Module):
    def __init__(self, se, classes=1000):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 24, 3, 2, 1), nn.BatchNorm2d(24)
        channels = 24
        for stage, (out, count) in enumerate(((240, 4), (480, 8), (960, 4)), 2):
            units = []
            for unit in range(count):
                units.append(ShuffleUnit(channels, out, 2 if unit == 0 else 1, se))
                channels = out
            setattr(self, f"stage{stage}", nn.Sequential(*units))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = max_pool_ceil(F.relu(self.bn1(self.conv1(x))))
        x = self.stage4(self.stage3(self.stage2(x)))
        return self.fc(x.mean((2, 3)))


def create(base, se, options):
    classes = int(options.pop("classes", 1000))
    return MobileNet(se, classes) if base == "mobilenet" else ShuffleNet(se, classes)
