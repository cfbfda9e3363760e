"""skyfan doctor: all checks, and what they found."""

from . import account, archive, machine
from .check import Diagnosis, Finding, examined


def doctor(stack: str = "skyfan") -> Diagnosis:
    """Checks this machine, the archive, and the AWS account with the deployed `stack`.

    Nothing is changed or written but an empty temporary file. Each check has a time limit of its own; those
    that need the network run at once, so that all take a minute at most. Never raises because of what it
    finds.

    >>> doctor()  # doctest: +SKIP
    """
    found: dict[str, Finding] = {}
    for check in machine.checks():  # one after another: they import
        found |= examined([check])
    return Diagnosis(list((found | examined([*archive.checks(), *account.checks(stack)])).values()))
