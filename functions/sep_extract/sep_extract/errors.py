"""Everything that can go wrong, as a tree.

The class name is what Lambda reports as ``errorType``, so a name is part of the interface:

    SepExtractError
        EventError              the event is not valid
        ConfigurationError      the function's environment is not valid
        InputError              the image cannot be used
            InputNotFoundError
            AccessDeniedError
            NotFitsError
            TruncatedError
            UnreadableError
            NotAnImageError
            NoScienceDataError
            ShapeMismatchError
            ImageTooSmallError
            ImageTooLargeError
            NoValidPixelsError
        OutOfTimeError          the batch left no time for this image
        ExtractionError         sep failed on every step of the ladder
        StorageError            the network or the store failed: trying again can help

``permanent`` tells a caller whether the same event can succeed later. Lambda retries either way.
"""


class SepExtractError(Exception):
    """Base of all errors this function raises on purpose; the message is written for a person."""

    permanent = True


class EventError(SepExtractError):
    """The event has a wrong, missing or unknown key."""


class ConfigurationError(SepExtractError):
    """An environment variable of the function is missing or wrong."""


class InputError(SepExtractError):
    """The input cannot be used."""


class InputNotFoundError(InputError):
    """There is no such object or file."""


class AccessDeniedError(InputError):
    """The store refuses to show the object."""


class NotFitsError(InputError):
    """The bytes are not FITS."""


class TruncatedError(InputError):
    """The file ends before its headers say it should."""


class UnreadableError(InputError):
    """FITS, but damaged in a way that the reader cannot get past."""


class NotAnImageError(InputError):
    """Spectra, cubes and tables."""


class NoScienceDataError(InputError):
    """The science extension holds no pixels."""


class ShapeMismatchError(InputError):
    """ERR, DQ or WHT do not have the shape of their SCI."""


class ImageTooSmallError(InputError):
    """Too few pixels to tell a source from the background."""


class ImageTooLargeError(InputError):
    """The image needs more memory than the function has."""


class NoValidPixelsError(InputError):
    """Every pixel is NaN, uncovered, saturated or flagged."""


class OutOfTimeError(SepExtractError):
    """The batch left no time for this image, which was not begun."""

    permanent = False


class ExtractionError(SepExtractError):
    """sep failed on every step of the ladder of retries."""


class StorageError(SepExtractError):
    """Reading or writing failed for a reason that may pass."""

    permanent = False
