"""A plain network: dense 3x3 and 1x1 convolutions and ReLU, nothing else.

What RepVGG becomes when deployed: no branch, no residual, no normalisation, no
depthwise convolution, no interpolation.  Its channels are multiples of 64 where
the work is, so this is the network on which integer convolutions gain the most.

Input ``float32 (N, 3, 360, 480)``: R, G, B planes, 0..1, less the ImageNet mean, by
the ImageNet deviation; any multiple of 8.  Output ``float32 (N, 11, H / 8, W / 8)``:
logits of the CamVid classes at stride 8.

Sources: Simonyan and Zisserman, "Very Deep Convolutional Networks" (ICLR 2015);
Ding et al., "RepVGG: Making VGG-style ConvNets Great Again" (CVPR 2021).
"""

from __future__ import annotations

from torch import nn

CLASSES = 11
# (output channels, kernel, stride) of every convolution that a ReLU follows.
LAYERS = (
    (32, 3, 2),
    (64, 3, 2),
    (64, 3, 1),
    (128, 3, 2),
    (128, 3, 1),
    (128, 3, 1),
    (128, 3, 1),
    (128, 3, 1),
    (128, 3, 1),
    (128, 3, 1),
    (256, 1, 1),
)


def build(batch_norm: bool = False) -> nn.Sequential:
    """The network in training mode, randomly initialised.

    ``batch_norm`` adds one behind every convolution but the last, to train with; :func:`fold`
    takes them out again.
    """
    layers: list[nn.Module] = []
    channels = 3
    for cout, kernel, stride in LAYERS:
        conv = nn.Conv2d(channels, cout, kernel, stride, kernel // 2, bias=not batch_norm)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        layers += [conv, nn.BatchNorm2d(cout), nn.ReLU()] if batch_norm else [conv, nn.ReLU()]
        channels = cout
    return nn.Sequential(*layers, nn.Conv2d(channels, CLASSES, 1))


def fold(trained: nn.Sequential) -> nn.Sequential:
    """The network of ``build()`` that equals ``trained``, a network of ``build(batch_norm=True)``."""
    layers: list[nn.Module] = []
    for module in trained.eval():
        if isinstance(module, nn.BatchNorm2d):
            layers[-1] = nn.utils.fuse_conv_bn_eval(layers[-1], module)
        else:
            layers.append(module)
    return nn.Sequential(*layers)
