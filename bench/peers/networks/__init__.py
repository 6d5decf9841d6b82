"""The networks of the zoo in PyTorch, for racing: our own definitions, with the tensor names of senet, so that one weights file
serves both sides and their outputs can be compared."""

import re

from . import cifar, mobile, plain, resnet

FAMILIES = (
    (r"resnet(50|101|152)|resnext(50|101)_32x4d|senet154", resnet, 224),
    (r"mobilenet|shufflenet_g3", mobile, 224),
    (r"vgg16_bn|bn_inception", plain, 224),
    (r"cifar_(pre)?resnet\d+", cifar, 32),
)


def create(name):
    """The network of a senet name such as "se_resnet50:down=3x3,pool=pad1", and its native input size."""
    name, _, text = name.partition(":")
    options = dict(option.split("=", 1) for option in text.split(",") if option)
    se, base = name.startswith("se_"), name.removeprefix("se_")
    for pattern, family, size in FAMILIES:
        if re.fullmatch(pattern, base):
            network = family.create(base, se, options)
            if options:
                raise SystemExit(f"{name}: the peers' definition has no option {', '.join(options)}")
            return network, size
    raise SystemExit(f"{name}: no definition for the peers; there are {', '.join(f[0] for f in FAMILIES)}")
