"""Adapters for networks of torchvision, timm and transformers: any node's output as maps.

The packages are optional and imported on first use.
"""

import inspect
import os
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from neuroai.encoders.features.extractor import Extractor, as_unit_planes
from neuroai.encoders.features.spec import FeatureSpec
from neuroai.encoders.features.weights import state_dict_sha256
from neuroai.errors import ConfigError, DatasetUnavailableError, ShapeError

_MEAN, _SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
_BLOCK = re.compile(r"(?P<kind>q|block)(?P<index>-?[0-9]+)")
_QUERY_NAMES = ("q_proj", "query", "qkv")


class NodeMaps(Extractor):
    """Output of one node of a frozen network, as maps.

    Convolutional outputs (n, C, h, w) are taken as they are; those of networks that keep channels last (Swin)
    are turned round, told by the picture's aspect. Token outputs (n, T, D) lose their leading
    tokens that stand for no patch (CLS, registers) and become (n, D, h, w), row-major. Vectors become
    1 x 1 maps.

    Parameters
    ----------
    model
        A ``torch.nn.Module`` that takes normalised pictures (n, 3, H, W).
    node
        Qualified name of a module, as in ``model.named_modules()``; for transformers also "block-1"
        (tokens after the last block; "block0" after the first) and "q-1": the query projection in the
        last block, heads concatenated (the query third where q, k and v are one projection).
    spec
        Name of what comes out.
    patch
        Side of a patch in pixels: pictures are padded with zeros, after normalisation, at the bottom and
        right to a multiple of it. None for convolutional networks.
    size
        Pictures are first resized (bicubic) to this side; None keeps their own size.
    mean, sd
        Normalisation of the three colours, on [0, 1].
    device
        Torch device.

    Raises
    ------
    ConfigError
        If the network has no such node.

    Notes
    -----
    The whole network runs; only the node's output is kept.

    References
    ----------
    Adeli, Minni & Kriegeskorte (2025), "Transformer brain encoders" (query maps of DINOv2).

    Examples
    --------
    >>> import numpy as np
    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU())
    >>> NodeMaps(network, "1", "demo:1")(np.zeros((2, 8, 8, 3), np.uint8)).shape
    (2, 4, 4, 4)
    """

    def __init__(
        self,
        model: nn.Module,
        node: str,
        spec: str,
        *,
        patch: int | None = None,
        size: int | None = None,
        mean: Sequence[float] = _MEAN,
        sd: Sequence[float] = _SD,
        device: str = "cpu",
    ) -> None:
        self.model = model.eval().requires_grad_(False).to(device)
        self.node, self.keep_query = find_node(model, node)
        self.spec, self.patch, self.size, self.device = spec, patch, size, device
        self._mean = torch.tensor(mean, dtype=torch.float32, device=device)[:, None, None]
        self._sd = torch.tensor(sd, dtype=torch.float32, device=device)[:, None, None]
        self._weights = state_dict_sha256(model.state_dict())

    @property
    def fingerprint(self) -> str:
        """Spec, node, weights and preprocessing."""
        norm = (self._mean.ravel().tolist(), self._sd.ravel().tolist())
        return f"{self.spec} {self.node} {self.keep_query} {self._weights} {self.patch} {self.size} {norm} v1"

    def __call__(self, pictures: NDArray[Any]) -> NDArray[np.float32]:
        """Features (n, C, h, w)."""
        with torch.inference_mode():
            x = self._prepared(torch.from_numpy(as_unit_planes(pictures)).to(self.device))
            output = self._node_output(x)
            return np.asarray(self._as_maps(output, x).float().cpu().numpy())

    def _prepared(self, x: Tensor) -> Tensor:
        if self.size and tuple(x.shape[-2:]) != (self.size, self.size):
            x = interpolate(x, (self.size, self.size), mode="bicubic", antialias=True).clamp(0, 1)
        x = (x - self._mean) / self._sd
        if self.patch:
            x = pad(x, (0, -x.shape[-1] % self.patch, 0, -x.shape[-2] % self.patch))
        return x

    def _node_output(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []

        def keep(module: nn.Module, arguments: Any, output: Any) -> None:
            kept.append(output[0] if isinstance(output, tuple) else output)

        handle = self.model.get_submodule(self.node).register_forward_hook(keep)
        try:
            # Position codes of vision transformers follow the picture's size only when told so.
            resizes = "interpolate_pos_encoding" in inspect.signature(self.model.forward).parameters
            self.model(x, **({"interpolate_pos_encoding": True} if resizes else {}))
        finally:
            handle.remove()
        if not kept:
            raise ConfigError(f"node {self.node!r} of {self.spec!r} takes no part in the forward pass")
        return kept[-1]

    def _as_maps(self, output: Tensor, x: Tensor) -> Tensor:
        if self.keep_query:
            output = output[..., : output.shape[-1] // 3]
        if output.ndim == 4:
            return output.permute(0, 3, 1, 2) if _is_channels_last(output, x) else output
        if output.ndim == 2:
            return output[:, :, None, None]
        if output.ndim != 3 or not self.patch:
            raise ShapeError(
                f"node {self.node!r} of {self.spec!r} gives {tuple(output.shape)}; expected maps "
                "(n, C, h, w), vectors (n, C), or the tokens (n, T, D) of a network with a patch size"
            )
        height, width = x.shape[-2] // self.patch, x.shape[-1] // self.patch
        extra = output.shape[1] - height * width
        if extra < 0:
            raise ShapeError(
                f"node {self.node!r} of {self.spec!r} gives {output.shape[1]} tokens "
                f"for {height} x {width} patches"
            )
        return output[:, extra:].transpose(1, 2).reshape(len(output), -1, height, width)


def _is_channels_last(output: Tensor, x: Tensor) -> bool:
    """Whether (n, h, w, C) has the aspect of the picture (n, 3, H, W) and (n, C, h, w) has not."""
    height, width = x.shape[-2:]
    _, first, second, third = output.shape

    def fits(rows: int, columns: int) -> bool:
        # Strides round each side up or down by less than one place.
        return abs(rows * width - columns * height) < width + height

    return fits(first, second) and not fits(second, third)


def find_node(model: nn.Module, node: str) -> tuple[str, bool]:
    """Qualified name of a node, and whether only the query third of its output counts.

    Raises
    ------
    ConfigError
        If the network has no such node; the message lists those it has at that depth.

    Examples
    --------
    >>> find_node(nn.Sequential(nn.Linear(2, 2)), "0")
    ('0', False)
    """
    names = [name for name, _ in model.named_modules() if name]
    if node in names:
        return node, False
    match = _BLOCK.fullmatch(node)
    if match is None:
        near = [n for n in names if n.count(".") <= node.count(".")]
        raise ConfigError(f"the network has no node {node!r}; it has {', '.join(near[:20])}, ...")
    index = int(match["index"])
    nodes = _query_projections(model) if match["kind"] == "q" else _blocks(model)
    if not -len(nodes) <= index < len(nodes):
        raise ConfigError(f"node {node!r}: the network has {len(nodes)} attention blocks, no block {index}")
    return nodes[index], match["kind"] == "q" and nodes[index].endswith(".qkv")


def torchvision_model(spec: FeatureSpec, device: str) -> Extractor:
    """Build from ``torchvision/MODEL:NODE``; NODE as in torchvision's ``create_feature_extractor``.

    Vision transformers take the size that they were trained with.
    """
    models = _optional("torchvision.models", "torchvision")
    extraction = _optional("torchvision.models.feature_extraction", "torchvision")
    node = _required_layer(spec, "layer3")
    model = models.get_model(spec.name.partition("/")[2], weights="DEFAULT").eval()
    patch, trained = getattr(model, "patch_size", None), getattr(model, "image_size", None)
    try:
        model = extraction.create_feature_extractor(model, {node: "out"})
    except ValueError as error:
        raise ConfigError(f"{spec}: {error}") from error
    size = spec.size or (trained if patch else None)
    return NodeMaps(_OnlyOutput(model), "output", str(spec), patch=patch, size=size, device=device)


def timm_model(spec: FeatureSpec, device: str) -> Extractor:
    """Build from ``timm/MODEL:NODE``; vision transformers take the size that they were trained with."""
    timm = _optional("timm", "timm")
    node = _required_layer(spec, "blocks.6")
    name = spec.name.partition("/")[2]
    configuration = timm.get_pretrained_cfg(name)
    model = timm.create_model(name, pretrained=True)
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    size = spec.size or (configuration.input_size[-1] if patch else None)
    return NodeMaps(
        model,
        node,
        str(spec),
        patch=int(patch[0]) if patch else None,
        size=size,
        mean=configuration.mean,
        sd=configuration.std,
        device=device,
    )


def transformers_model(spec: FeatureSpec, device: str) -> Extractor:
    """Build from ``hf/ORGANISATION/MODEL:NODE``, e.g. ``hf/facebook/dinov2-base:q-1``."""
    transformers = _optional("transformers", "transformers")
    node = spec.layer or "q-1"
    name = spec.name.partition("/")[2]
    offline = {"local_files_only": os.environ.get("NEUROAI_OFFLINE") == "1"}
    try:
        model = transformers.AutoModel.from_pretrained(name, **offline)
        mixin = import_module("transformers.image_processing_base").ImageProcessingMixin
        settings, _ = mixin.get_image_processor_dict(name, **offline)
    except OSError as error:
        raise DatasetUnavailableError(f"weights of {name!r} could not be had: {error}") from error
    model = getattr(model, "vision_model", model)
    return NodeMaps(
        model,
        node,
        str(spec),
        patch=getattr(model.config, "patch_size", None),
        size=spec.size,
        mean=settings.get("image_mean", _MEAN),
        sd=settings.get("image_std", _SD),
        device=device,
    )


class _OnlyOutput(nn.Module):
    """A feature extractor whose single output is a node that can be hooked."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.output = model, nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.output(self.model(x)["out"])
        return out


def _query_projections(model: nn.Module) -> list[str]:
    """Projections that make queries, in the order of blocks."""
    return [name for name, _ in model.named_modules() if name.rpartition(".")[2] in _QUERY_NAMES]


def _blocks(model: nn.Module) -> list[str]:
    """Transformer blocks: the entries of the list of modules that holds the query projections."""
    queries = _query_projections(model)
    for name, module in model.named_modules():
        inside = [q for q in queries if q.startswith(f"{name}." if name else "")]
        if isinstance(module, (nn.ModuleList, nn.Sequential)) and len(inside) == len(module) == len(queries):
            return [f"{name}.{i}" if name else str(i) for i in range(len(module))]
    return []


def _required_layer(spec: FeatureSpec, example: str) -> str:
    if spec.layer is None:
        raise ConfigError(f"{spec} needs a node: write {spec}:NODE, e.g. {spec}:{example}")
    return spec.layer


def _optional(module: str, package: str) -> Any:
    load: Callable[[str], Any] = import_module
    try:
        return load(module)
    except (ImportError, RuntimeError) as error:
        raise DatasetUnavailableError(
            f"{package} cannot be imported ({error}): run `pip install {package}` "
            "(or `pip install 'neuroai-framework[backbones]'`)"
        ) from error
