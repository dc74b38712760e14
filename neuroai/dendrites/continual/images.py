"""Pictures of digits: bundled, shared or fetched, as flat vectors with labels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from neuroai.errors import ConfigError

__all__ = ["IMAGE_SETS", "ImageSet", "load_images"]

#: Name -> title. "digits" comes with scikit-learn; the others are sets of the catalogue.
IMAGE_SETS = {
    "digits": "digits, 8 x 8 pixels (1,437 training and 360 test images)",
    "mnist_t10k": "MNIST-10k, 28 x 28 pixels (8,000 training and 2,000 test images, MNIST 60,000 and 10,000)",
    "mnist": "MNIST, 28 x 28 pixels (60,000 training and 10,000 test images)",
}


@dataclass(frozen=True)
class ImageSet:
    """Labelled pictures and their division into training and test.

    Attributes
    ----------
    name : str
    images : float32 Tensor (N, P)
        From 0 to 1.
    labels : int64 Tensor (N,)
    n_train : int
    official : bool
        The first ``n_train`` are for training, as their authors decided; otherwise each seed draws its own.
    """

    name: str
    images: Tensor
    labels: Tensor
    n_train: int
    official: bool = False

    def split(self, seed: int) -> tuple[Tensor, Tensor]:
        """Indices for training, in random order, and for test.

        Examples
        --------
        >>> import torch
        >>> few = ImageSet("few", torch.rand(5, 4), torch.tensor([0, 1, 0, 1, 0]), n_train=3)
        >>> [len(part) for part in few.split(seed=0)]
        [3, 2]
        """
        stream = torch.Generator().manual_seed(seed)
        if self.official:
            return torch.randperm(self.n_train, generator=stream), torch.arange(
                self.n_train, len(self.images)
            )
        order = torch.randperm(len(self.images), generator=stream)
        return order[: self.n_train], order[self.n_train :]

    @property
    def n_classes(self) -> int:
        """Labels are 0..n_classes - 1."""
        return int(self.labels.max()) + 1


def load_images(name: str) -> ImageSet:
    """A set of pictures by name.

    Parameters
    ----------
    name : {"digits", "mnist_t10k", "mnist"}

    Raises
    ------
    ConfigError
        For another name.
    DatasetUnavailableError
        If a set of the catalogue is not on this machine and cannot be fetched.

    References
    ----------
    Alpaydin and Kaynak (1998), optical recognition of handwritten digits; LeCun et al. (1998), MNIST.

    Examples
    --------
    >>> load_images("digits").images.shape
    torch.Size([1797, 64])
    """
    if name == "digits":
        return _bundled()
    if name == "mnist_t10k":
        images, labels = _catalogue(name)
        return ImageSet(name, images, labels, n_train=8_000)
    if name == "mnist":
        parts = [_catalogue(name, part=part) for part in ("train", "t10k")]
        images, labels = (torch.cat(side) for side in zip(*parts, strict=True))
        return ImageSet(name, images, labels, n_train=len(parts[0][0]), official=True)
    raise ConfigError(f"there are no images {name!r}; choose one of {', '.join(IMAGE_SETS)}")


def _bundled() -> ImageSet:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.data).to(torch.float32) / 16
    return ImageSet("digits", images, torch.from_numpy(digits.target).to(torch.int64), n_train=1_437)


def _catalogue(name: str, **selection: str) -> tuple[Tensor, Tensor]:
    import numpy as np

    from neuroai.datasets import load

    recording = load(name, **selection)
    assert recording.stimulus is not None  # these sets hold pictures
    pictures = torch.from_numpy(np.asarray(recording.stimulus[:], dtype=np.float32)).flatten(1) / 255
    labels = torch.from_numpy(np.asarray(recording.tree["labels"]["label"].values, dtype=np.int64))
    return pictures, labels
