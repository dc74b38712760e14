"""The grammar of feature specs, ``NAME[@SIZE][:LAYER]``, and the extractors they name."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from neuroai.encoders.features.extractor import Extractor
from neuroai.errors import ConfigError

_GRAMMAR = re.compile(
    r"(?P<name>[A-Za-z0-9_][A-Za-z0-9_./-]*)(?:@(?P<size>[0-9]+))?(?::(?P<layer>[A-Za-z0-9_.-]+))?"
)

#: What may stand before the layer: a name, or a family such as ``timm/...``; and the function that builds it.
EXTRACTORS = {
    "pixels": "pixels:pixels",
    "gabor": "gabor:gabor",
    "efficientnet-lite0": "efficientnet_lite:efficientnet_lite",
    "efficientnet-lite1": "efficientnet_lite:efficientnet_lite",
    "efficientnet-lite2": "efficientnet_lite:efficientnet_lite",
    "torchvision/": "adapters:torchvision_model",
    "timm/": "adapters:timm_model",
    "hf/": "adapters:transformers_model",
}


@dataclass(frozen=True)
class FeatureSpec:
    """A parsed spec.

    Parameters
    ----------
    name
        Extractor, e.g. "pixels", "efficientnet-lite0", "timm/vit_small_patch16_224".
    layer
        Which of its outputs: a block index, a node name, "q-1"; None is the extractor's default.
    size
        Pictures are first resized to this height and width in pixels; None leaves them as the
        extractor wants them.

    Examples
    --------
    >>> FeatureSpec.parse("efficientnet-lite0@224:7")
    FeatureSpec(name='efficientnet-lite0', layer='7', size=224)
    >>> str(FeatureSpec.parse("hf/facebook/dinov2-base:q-1"))
    'hf/facebook/dinov2-base:q-1'
    """

    name: str
    layer: str | None = None
    size: int | None = None

    @classmethod
    def parse(cls, text: str) -> "FeatureSpec":
        """Read ``NAME[@SIZE][:LAYER]``.

        Raises
        ------
        ConfigError
            If the text does not follow the grammar.
        """
        match = _GRAMMAR.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"feature spec {text!r} is not of the form NAME[@SIZE][:LAYER], e.g. efficientnet-lite0:7"
            )
        size = match["size"]
        return cls(match["name"], match["layer"], int(size) if size else None)

    def __str__(self) -> str:
        size = f"@{self.size}" if self.size else ""
        layer = f":{self.layer}" if self.layer is not None else ""
        return f"{self.name}{size}{layer}"


def build_extractor(spec: FeatureSpec | str, device: str = "cpu") -> Extractor:
    """Make the extractor that a spec names.

    Parameters
    ----------
    spec
        Text or parsed.
    device
        Torch device of the network, e.g. "cuda".

    Returns
    -------
    Extractor

    Raises
    ------
    ConfigError
        If no extractor has that name, or it has no such layer.
    DatasetUnavailableError
        If a package or weights are missing; the message says how to install them.

    Examples
    --------
    >>> build_extractor("pixels@8").spec
    'pixels@8'
    """
    spec = FeatureSpec.parse(spec) if isinstance(spec, str) else spec
    family = spec.name.split("/")[0] + "/" if "/" in spec.name else spec.name
    if family not in EXTRACTORS:
        names = ", ".join(name + "NAME" if name.endswith("/") else name for name in EXTRACTORS)
        raise ConfigError(f"no features are called {spec.name!r}; there are: {names}")
    module, _, function = EXTRACTORS[family].partition(":")
    build: Callable[[FeatureSpec, str], Extractor] = getattr(
        import_module(f"neuroai.encoders.features.{module}"), function
    )
    return build(spec, device)
