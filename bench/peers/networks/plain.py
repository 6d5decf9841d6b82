"""VGG-16 with batch norm and BN-Inception with the tensor names of senet."""

from torch import nn
from torch.nn import functional as F
import torch

from .blocks import conv, max_pool_ceil, squeeze_excite


class Vgg16(nn.Module):
    GROUPS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))

    def __init__(self, se, classes=1000):
        super().__init__()
        layers, blocks, channels = [], [], 3
        for group in self.GROUPS:
            for out in group:
                layers += [nn.Conv2d(channels, out, 3, 1, 1), nn.BatchNorm2d(out), nn.ReLU()]
                blocks.append(squeeze_excite(out, se))
                channels = out
            layers.append(nn.MaxPool2d(2))
        self.features, self.se = nn.Sequential(*layers), nn.ModuleList(blocks)
        self.classifier = nn.Sequential(nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(),
                                        nn.Dropout(), nn.Linear(4096, classes))

    def forward(self, x):
        blocks = iter(self.se)
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                x = next(blocks)(x)
        return self.classifier(F.adaptive_avg_pool2d(x, 7).flatten(1))


class Inception:
    """One module: its layers are registered under the network's own names.  Modules with stride 2 have no 1x1 branch."""

    def __init__(self, network, name, channels, one, reduce, three, double_reduce, double, pool, projection, se):
        self.stride = 1 if one else 2
        self.pool = pool
        if one:
            self.add(network, name, "1x1", channels, one, 1)
        self.add(network, name, "3x3_reduce", channels, reduce, 1)
        self.add(network, name, "3x3", reduce, three, 3, self.stride)
        self.add(network, name, "double_3x3_reduce", channels, double_reduce, 1)
        self.add(network, name, "double_3x3_1", double_reduce, double, 3)
        self.add(network, name, "double_3x3_2", double, double, 3, self.stride)
        if projection:
            self.add(network, name, "pool_proj", channels, projection, 1)
        self.prefix, self.projection = f"inception_{name}_", projection
        self.out = one + three + double + (projection or channels)
        network.add_module(f"{self.prefix}se", squeeze_excite(self.out, se))

    @staticmethod
    def add(network, name, layer, channels_in, out, kernel, stride=1):
        network.add_module(f"inception_{name}_{layer}", conv(channels_in, out, kernel, stride, kernel // 2))
        network.add_module(f"inception_{name}_{layer}_bn", nn.BatchNorm2d(out))

    def run(self, network, x):
        def layer(name, value):
            name = self.prefix + name
            return F.relu(getattr(network, name + "_bn")(getattr(network, name)(value)))

        branches = [layer("1x1", x)] if self.stride == 1 else []
        branches.append(layer("3x3", layer("3x3_reduce", x)))
        branches.append(layer("double_3x3_2", layer("double_3x3_1", layer("double_3x3_reduce", x))))
        if self.stride == 2:
            branches.append(max_pool_ceil(x))
        else:
            pooled = F.avg_pool2d(x, 3, 1, 1) if self.pool == "avg" else F.max_pool2d(x, 3, 1, 1)
            branches.append(layer("pool_proj", pooled))
        return getattr(network, self.prefix + "se")(torch.cat(branches, 1))


class BnInception(nn.Module):
    MODULES = (
        ("3a", 64, 64, 64, 64, 96, "avg", 32), ("3b", 64, 64, 96, 64, 96, "avg", 64), ("3c", 0, 128, 160, 64, 96, "max", 0),
        ("4a", 224, 64, 96, 96, 128, "avg", 128), ("4b", 192, 96, 128, 96, 128, "avg", 128),
        ("4c", 160, 128, 160, 128, 160, "avg", 128), ("4d", 96, 128, 192, 160, 192, "avg", 128),
        ("4e", 0, 128, 192, 192, 256, "max", 0), ("5a", 352, 192, 320, 160, 224, "avg", 128),
        ("5b", 352, 192, 320, 192, 224, "max", 128))

    def __init__(self, se, classes=1000):
        super().__init__()
        for name, channels_in, out, kernel, stride in (("conv1_7x7_s2", 3, 64, 7, 2), ("conv2_3x3_reduce", 64, 64, 1, 1),
                                                       ("conv2_3x3", 64, 192, 3, 1)):
            self.add_module(name, conv(channels_in, out, kernel, stride, kernel // 2))
            self.add_module(name + "_bn", nn.BatchNorm2d(out))
        channels, self.plan = 192, []
        for name, *widths in self.MODULES:
            module = Inception(self, name, channels, *widths, se)
            self.plan.append(module)
            channels = module.out
        self.last_linear = nn.Linear(channels, classes)

    def stem(self, name, x):
        return F.relu(getattr(self, name + "_bn")(getattr(self, name)(x)))

    def forward(self, x):
        x = max_pool_ceil(self.stem("conv1_7x7_s2", x))
        x = max_pool_ceil(self.stem("conv2_3x3", self.stem("conv2_3x3_reduce", x)))
        for module in self.plan:
            x = module.run(self, x)
        return self.last_linear(x.mean((2, 3)))


def create(base, se, options):
    classes = int(options.pop("classes", 1000))
    return Vgg16(se, classes) if base == "vgg16_bn" else BnInception(se, classes)
