"""What can go wrong. The class name becomes Lambda's errorType; the message is for the person who waits."""


class SummaryError(Exception):
    """Base of every error that this function raises on purpose."""

    permanent = True
    """True: another try cannot help. Lambda retries all the same; a person need not."""


class EventError(SummaryError):
    """The event is wrong: an unknown key, a missing input, a run name with a slash."""


class InputNotFoundError(SummaryError):
    """There is no such file, object or bucket."""


class AccessDeniedError(SummaryError):
    """The file is there, or may be, but this account may not read it."""


class NotFitsError(SummaryError):
    """The bytes are not a FITS file."""


class TruncatedError(SummaryError):
    """The FITS file ends before its headers say it should."""


class StorageError(SummaryError):
    """The storage did not answer, or broke off: the one error here that another try may mend."""

    permanent = False
