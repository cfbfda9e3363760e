"""The errors that all functions share, as a tree.

Lambda reports the class name as ``errorType``, so names are part of the interface:

    FunctionError
        EventError              the event is not valid
        ConfigurationError      the function's environment is not valid
        InputError              the input cannot be used
            InputNotFoundError
            AccessDeniedError
            NotFitsError
            TruncatedError
            UnreadableError
        TableError              the function made a table that cannot be written
        OutOfMemoryError        the function has too little memory
        OutOfTimeError          the batch left too little time for this input
        TooSlowError            the input takes longer than the function may run
        RunCancelledError       the run was cancelled before this input
        OutputRefusedError      the store lets nothing be written there
        StorageError            the network or the store failed: retrying can help

A function adds its own by subclassing these. ``cure``, as in skyfan_contract, says what can help. An error
that the same function cannot get past, whose cure is LARGER or NEVER, is recorded and is the invocation's
result; RunCancelledError too. Any other error is raised, so that Lambda retries.
"""

from skyfan_contract import LARGER, NEVER, RETRY, Cure, shortened, without_passwords

# Characters of a message: logs and records are billed by the byte.
_LONGEST = 1000


class FunctionError(Exception):
    """Base of all errors that a function raises on purpose; the message is written for a person.

    It loses the passwords in its URLs, and of a long one its middle.
    """

    cure: Cure = NEVER

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(without_passwords(message), _LONGEST))


class EventError(FunctionError):
    """The event has a wrong, missing or unknown key."""


class ConfigurationError(FunctionError):
    """An environment variable of the function is missing or wrong."""


class InputError(FunctionError):
    """The input cannot be used."""


class InputNotFoundError(InputError):
    """There is no such object or file."""


class AccessDeniedError(InputError):
    """The store refuses to show the object, or the stack does not read that bucket."""


class NotFitsError(InputError):
    """The bytes are not FITS."""


class TruncatedError(InputError):
    """The file ends before its headers say it should."""


class UnreadableError(InputError):
    """The file is FITS, but damaged in a way that the reader cannot get past."""


class TableError(FunctionError):
    """The function made a table that cannot be written: a mistake of the function."""


class OutOfMemoryError(FunctionError):
    """The function has too little memory for this input."""

    cure = LARGER


class OutOfTimeError(FunctionError):
    """The batch left too little time for this input."""

    cure = RETRY


class TooSlowError(FunctionError):
    """The input takes longer than the function may run."""

    cure = LARGER


class RunCancelledError(FunctionError):
    """The run was cancelled before this input was begun."""

    cure = RETRY


class OutputRefusedError(FunctionError):
    """The store refuses to take results: a permission, a KMS key or the bucket is missing."""


class StorageError(FunctionError):
    """Reading or writing failed for a reason that may pass."""

    cure = RETRY


def cure_of(error: Exception) -> Cure:
    """The cure of any error; one that nobody foresaw may pass."""
    if isinstance(error, FunctionError):
        return error.cure
    return LARGER if isinstance(error, MemoryError) else RETRY
