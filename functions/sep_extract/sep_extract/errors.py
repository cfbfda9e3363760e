"""SepExtract's own errors; those of every function are in skyfan_function.errors.

    InputError
        NotAnImageError
        NoScienceDataError
        ShapeMismatchError
        ImageTooSmallError
        ImageTooLargeError      but a function with more memory may take it
        NoValidPixelsError
        NoOverlapError
    ExtractionError             sep failed on every step of the ladder

No retry of the same function can help.
"""

from skyfan_contract import LARGER
from skyfan_function.errors import FunctionError, InputError


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

    cure = LARGER


class NoValidPixelsError(InputError):
    """Nearly all pixels are NaN, uncovered, saturated or flagged, none is above zero, or all are the same."""


class NoOverlapError(InputError):
    """No source of the detection image lies on the measured image, or nothing tells where."""


class ExtractionError(FunctionError):
    """sep failed on every step of the ladder of retries."""
