"""Every error the library raises, in one tree.

```text
FashionSearchError
├── InputError (ValueError)          a value, shape, type or name that can't be used
│   ├── ImageError                   images that can't be read: which, and why
│   ├── DataError                    a table, labels or a split that can't be used
│   ├── UnknownBackboneError         a backbone's name that nobody registered
│   ├── UnknownIdError (KeyError)    an id the index doesn't hold
│   └── EncoderMismatchError         an encoder that isn't the one the vectors came from
├── NotFittedError                   predict before fit
├── WeightsError                     weights that can't be fetched, read or fitted to the network
├── TrainingError                    a loss that is not a number any more
├── DeviceError                      a device or precision this machine doesn't have
├── RuntimeUnavailableError          a runtime that can't run this network here
├── MissingPackageError (ImportError)  a package that an extra brings, and isn't installed
├── FidelityError                    a faster encoder that loses more than is allowed
└── StorageError (OSError)           a folder that can't be written or read
    └── CorruptFileError             a saved file that isn't what was written
```

`DataWarning` says that something was left out or replaced and the work went on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class FashionSearchError(Exception):
    """The root of every error the library raises.

    What a file's name or a value brings into the message is printed as by `shown`.
    """

    def __str__(self) -> str:
        return "\n".join(shown(line) for line in super().__str__().split("\n"))


class InputError(FashionSearchError, ValueError):
    """A value, shape, type or name that can't be used."""


@dataclass(frozen=True)
class ImageFailure:
    """One image that can't be read: its position in the input, what it was, and why.

    Attributes:
        position: place in the sequence that was passed, from 0.
        source: the path, or a short description of an image that has none.
        reason: why it can't be read, as a sentence without a full stop.
    """

    position: int
    source: str
    reason: str

    def __str__(self) -> str:
        return f"image {self.position} ({shown(self.source)}): {self.reason}"


class ImageError(InputError):
    """Images that can't be read.

    Attributes:
        failures: one `ImageFailure` for each image that can't be read.
    """

    def __init__(self, failures: Sequence[ImageFailure]) -> None:
        self.failures = tuple(failures)
        shown = "; ".join(str(failure) for failure in self.failures[:5])
        if len(self.failures) > 5:
            shown += f"; and {len(self.failures) - 5} more"
        super().__init__(shown)

    def __reduce__(self) -> tuple[type[ImageError], tuple[tuple[ImageFailure, ...]]]:
        # An exception is copied from its message otherwise, and another process would see letters for failures.
        return type(self), (self.failures,)


class DataError(InputError):
    """A table, labels or a split that can't be used."""


class UnknownBackboneError(InputError):
    """A backbone's name that nobody registered."""


class UnknownIdError(InputError, KeyError):
    """An id the index doesn't hold."""

    # KeyError prints the repr of its argument; a message should read as a sentence.
    def __str__(self) -> str:
        return shown(Exception.__str__(self))


class EncoderMismatchError(InputError):
    """An encoder that isn't the one the stored vectors came from."""


class NotFittedError(FashionSearchError, ValueError, AttributeError):
    """A model was asked for predictions before `fit`."""


class WeightsError(FashionSearchError):
    """Weights that can't be fetched, read or fitted to the network."""


class TrainingError(FashionSearchError, RuntimeError):
    """A training that went wrong: its loss is not a number any more."""


class DeviceError(FashionSearchError, RuntimeError):
    """A device or precision this machine doesn't have."""


class RuntimeUnavailableError(FashionSearchError, RuntimeError):
    """A runtime that can't run this network on this machine."""


class MissingPackageError(FashionSearchError, ImportError):
    """A package that an extra brings, and that isn't installed."""


class FidelityError(FashionSearchError):
    """A faster encoder that loses more than is allowed."""


class StorageError(FashionSearchError, OSError):
    """A folder that can't be written or read."""


class CorruptFileError(StorageError):
    """A saved file that isn't what was written."""


class DataWarning(UserWarning):
    """Something was left out or replaced, and the work went on."""


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """Return " Did you mean …?" for the nearest known names, or an empty string.

    Examples:
        >>> did_you_mean("resnet5O", ["resnet50", "vgg19"])
        " Did you mean 'resnet50'?"
    """
    import difflib

    near = difflib.get_close_matches(str(name), [str(other) for other in known], n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(other) for other in near)}?" if near else ""


def shown(text: str) -> str:
    r"""Return text with what a terminal would obey, and what can't be encoded, written as escapes.

    A file's name may hold control characters, marks that turn the direction of writing, and bytes that are not UTF-8.

    Examples:
        >>> print(shown("Kleid für Anna.jpg"), shown("a\x1b[31m\n.jpg"))
        Kleid für Anna.jpg a\x1b[31m\n.jpg
    """
    if text.isprintable():
        return text
    import unicodedata

    return "".join(
        letter
        if letter.isprintable() or unicodedata.category(letter) == "Zs"
        else letter.encode("unicode_escape").decode()
        for letter in text
    )
