"""What the networks share: the SE block, a convolution with batch norm, Caffe's pooling."""

from torch import nn
from torch.nn import functional as F
import torch


class SqueezeExcite(nn.Module):
    """x times sigmoid(fc2(relu(fc1(mean over the map)))), one gate a channel."""

    def __init__(self, channels, reduction=16):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x):  # (N, C, H, W)
        squeezed = x.mean((2, 3), keepdim=True)
        gate = torch.sigmoid(self.fc2(F.relu(self.fc1(squeezed))))
        return x * gate


def squeeze_excite(channels, se):
    return SqueezeExcite(channels) if se else nn.Identity()


def conv(channels_in, channels_out, kernel, stride=1, padding=0, groups=1):
    return nn.Conv2d(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False)


def max_pool_ceil(x):
    """3x3 stride 2 without padding, sizes rounded up: the stems of the paper's networks."""
    return F.max_pool2d(x, 3, 2, 0, ceil_mode=True)
