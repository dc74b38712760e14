"""What the data layer raises.

Every message says what was found, what was expected, where, and what to do.
"""


class DataError(ValueError):
    """Data that cannot be used as they are: damaged, incomplete or inconsistent."""


class DamagedFileError(DataError):
    """A file that cannot be read, or whose content does not match its checksum."""


class UnsafeFileError(DataError):
    """A file that reaches outside itself, or declares more than it may hold."""


class UnitError(DataError):
    """Times or values in another unit than declared."""


class CardError(DataError):
    """A recording card or catalogue card that does not say what it must."""


class LeakError(DataError):
    """A split that would let the same stimulus or neighbouring samples into train and test."""


class DatasetUnavailableError(DataError):
    """A data set that is not on this machine and could not, or may not, be fetched."""
