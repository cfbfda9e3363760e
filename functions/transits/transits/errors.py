"""Transits' own errors; those of every function are in skyfan_function.errors.

    InputError
        NotALightCurveError
        UnknownLightCurveError
        NoValidCadencesError
        NoVariationError
        UnknownTimeError

No retry can help.
"""

from skyfan_function.errors import InputError


class NotALightCurveError(InputError):
    """Images, target pixels and other files without a table of fluxes."""


class UnknownLightCurveError(InputError):
    """A light curve of a mission or pipeline that is not read, or one that lacks a column."""


class NoValidCadencesError(InputError):
    """Too few cadences, or days, are valid for a search."""


class NoVariationError(InputError):
    """The median flux is not above zero, or most fluxes are equal: there is no relative flux, or no noise."""


class UnknownTimeError(InputError):
    """Times are in a unit or on a scale that is not that of TESS light curves."""
