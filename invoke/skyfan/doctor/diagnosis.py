"""skyfan doctor: all checks, those of the network and of the archive among them, and what they found."""

import socket
from collections.abc import Iterable
from dataclasses import replace

from .. import extras, network
from ..errors import InputError
from ..formatting import count, truncate
from ..plans.limits import ArchiveLimits, UnansweredError
from ..storage import s3
from . import account, machine
from .check import REQUEST_S, Answer, Check, Diagnosis, Finding, NotCheckedError, examined

_NETWORK = "check the network and HTTPS_PROXY; files on this machine need neither"
# An observation program of Hubble: a query that MAST answers in a second.
_PROGRAM = "12498"


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
    return Diagnosis(list((found | examined([*archive_checks(), *account.checks(stack)])).values()))


def archive_checks() -> Iterable[Check]:
    """Of the network and the archive, which need no account."""
    yield Check("proxy", ("plan", "aws"), "cannot be used", _proxy)
    yield Check("certificates", ("plan", "aws"), "cannot be used", _certificates)
    yield Check("MAST", ("plan",), "does not answer", _mast)
    yield Check("stpubdata", ("plan",), "cannot be read", _bucket)


def _proxy() -> Answer:
    limits = ArchiveLimits.from_environment()
    urls = {"MAST": limits.server, "S3": "https://s3.us-east-1.amazonaws.com"}
    proxies = {name: network.proxy(url) for name, url in urls.items()}
    texts = [f"{name} through {chosen}" for name, chosen in proxies.items() if chosen]
    for chosen in {chosen for chosen in proxies.values() if chosen}:
        try:
            socket.create_connection((chosen.host, chosen.port), timeout=REQUEST_S / 4).close()
        except OSError as error:
            advice = f"correct or unset {chosen.variable}"
            return Answer("missing", f"{chosen} cannot be reached: {error}", advice)
    return Answer("ok", ", ".join(texts) or "none is set")


def _certificates() -> Answer:
    bundles = {path for path in (network.bundle(network.AWS), network.bundle(network.MAST)) if path}
    for path in bundles:
        network.tls(path)
    return Answer("ok", ", ".join(sorted(map(str, bundles))) or "those of the system")


def _mast() -> Answer:
    try:
        from ..plans.mast import MastClient
    except extras.MissingExtraError:
        raise NotCheckedError("it needs the extra mast") from None
    limits = replace(ArchiveLimits.from_environment(), attempts=1, query_seconds=REQUEST_S / 2)
    try:
        number = MastClient(limits).count(proposal_id=[_PROGRAM])
    except UnansweredError as error:
        said = truncate(str(error).removeprefix("MAST: "), 100)
        return Answer("missing", f"{limits.server} does not answer: {said}", _NETWORK)
    return Answer("ok", f"{limits.server} answers a query ({count(number, 'observation')})")


def _bucket() -> Answer:
    bucket = ArchiveLimits().bucket
    uri = f"s3://{bucket}/hst/public/"
    if not s3.reach(uri):
        raise InputError(f"{uri}: {s3.NO_LISTING}")
    return Answer("ok", f"s3://{bucket} can be listed without an account")
