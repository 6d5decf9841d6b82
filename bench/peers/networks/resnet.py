"""ResNet, ResNeXt (32x4d) and SENet-154 with the tensor names of senet; options down=3x3 and pool=pad1 as in torchvision."""

from torch import nn
from torch.nn import functional as F

from .blocks import conv, max_pool_ceil, squeeze_excite


class Bottleneck(nn.Module):
    def __init__(self, channels_in, reduce, middle, out, strides, groups, se, project):
        super().__init__()
        stride1, stride2 = strides
        self.conv1, self.bn1 = conv(channels_in, reduce, 1, stride1), nn.BatchNorm2d(reduce)
        self.conv2, self.bn2 = conv(reduce, middle, 3, stride2, 1, groups), nn.BatchNorm2d(middle)
        self.conv3, self.bn3 = conv(middle, out, 1), nn.BatchNorm2d(out)
        self.se = squeeze_excite(out, se)
        self.downsample = None
        if project:
            kernel, padding = project
            self.downsample = nn.Sequential(conv(channels_in, out, kernel, stride1 * stride2, padding), nn.BatchNorm2d(out))

    def forward(self, x):
        branch = F.relu(self.bn1(self.conv1(x)))
        branch = F.relu(self.bn2(self.conv2(branch)))
        branch = self.se(self.bn3(self.conv3(branch)))
        return F.relu(branch + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """kind: "resnet", "resnext" or "senet154"."""

    def __init__(self, kind, units, se, down="1x1", pool="ceil", classes=1000):
        super().__init__()
        self.deep_stem, self.pool = kind == "senet154", pool
        if self.deep_stem:
            self.conv1, self.bn1 = conv(3, 64, 3, 2, 1), nn.BatchNorm2d(64)
            self.conv2, self.bn2 = conv(64, 64, 3, 1, 1), nn.BatchNorm2d(64)
            self.conv3, self.bn3 = conv(64, 128, 3, 1, 1), nn.BatchNorm2d(128)
        else:
            self.conv1, self.bn1 = conv(3, 64, 7, 2, 3), nn.BatchNorm2d(64)
        channels = 128 if self.deep_stem else 64
        for stage, count in enumerate(units):
            width, layer = 64 << stage, []
            out = 4 * width
            reduce, middle, groups = {"resnet": (width, width, 1), "resnext": (2 * width, 2 * width, 32),
                                      "senet154": (2 * width, out, 64)}[kind]
            for unit in range(count):
                stride = 2 if stage > 0 and unit == 0 else 1
                first = stride if kind == "resnet" and down == "1x1" else 1
                project = (3, 1) if kind == "senet154" and stage > 0 else (1, 0)
                layer.append(Bottleneck(channels, reduce, middle, out, (first, stride // first), groups, se,
                                        project if unit == 0 else None))
                channels = out
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layer))
        self.dropout = nn.Dropout(0.2 if self.deep_stem else 0.0)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):  # (N, 3, H, W)
        x = F.relu(self.bn1(self.conv1(x)))
        if self.deep_stem:
            x = F.relu(self.bn3(self.conv3(F.relu(self.bn2(self.conv2(x))))))
        x = max_pool_ceil(x) if self.pool == "ceil" else F.max_pool2d(x, 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.dropout(x.mean((2, 3))))


UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def create(base, se, options):
    classes = int(options.pop("classes", 1000))
    pool = options.pop("pool", "ceil")
    if base == "senet154":
        return ResNet("senet154", UNITS[152], True, pool=pool, classes=classes)
    if base.startswith("resnext"):
        return ResNet("resnext", UNITS[int(base[7:].split("_")[0])], se, pool=pool, classes=classes)
    return ResNet("resnet", UNITS[int(base[6:])], se, options.pop("down", "1x1"), pool, classes)
