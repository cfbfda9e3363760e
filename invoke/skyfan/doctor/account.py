"""Checks of an AWS account and of the stack in it."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .. import extras, template
from ..errors import UsageError
from ..storage import s3
from .check import REQUEST_S, Answer, Check, NotCheckedError, Shared
from .machine import version

_USUAL_CONCURRENCY = 1000
_NEW_ACCOUNT_MB = 3008
_QUOTA = "ask AWS for more: Service Quotas, AWS Lambda, Concurrent executions"


@dataclass(frozen=True)
class _Account:
    """The checks of AWS, and what they share."""

    name: str
    """Of the stack."""
    identity: Shared[str] = field(default_factory=lambda: Shared("credentials", REQUEST_S))
    stack: Shared[Any] = field(default_factory=lambda: Shared("the stack", 2 * REQUEST_S))

    def region(self) -> Answer:
        """Where requests go."""
        from .. import session

        region = _session().region_name
        elsewhere = sorted(name for name in os.environ if name.startswith("AWS_ENDPOINT_URL"))
        if elsewhere:
            servers = ", ".join(sorted({os.environ[name] for name in elsewhere}))
            return Answer(
                "doubtful",
                f"{region}, at {servers}",
                f"requests go there and not to AWS: unset {' and '.join(elsewhere)} if that is not meant",
            )
        if region != session.REGION:
            return Answer(
                "doubtful",
                region,
                f"the archive is in {session.REGION}: reading it from {region} is slower and may be billed",
            )
        return Answer("ok", region)

    def credentials(self) -> Answer:
        """Whose they are."""

        def ask() -> str:
            from .. import session

            with session.aws_errors("AWS"):
                answer = session.client("sts", patient=False, of=_session()).get_caller_identity()
            return f"{answer['Arn']} of account {answer['Account']}"

        return Answer("ok", self.identity.make(ask))

    def deployed(self) -> Answer:
        """The stack and its version."""

        def ask() -> Any:
            self.identity.get()
            from ..aws import stack

            return stack.find(self.name, patient=False)

        found = self.stack.make(ask)
        found.check()
        text = f"{found.name} in {found.region}"
        theirs, advice = found.outputs.get("SkyfanVersion"), f"update it: skyfan deploy --stack {found.name}"
        if theirs is None:
            return Answer("doubtful", f"{text}, of a version before {version()}", advice)
        if theirs != version():
            return Answer("doubtful", f"{text}, of version {theirs}; this is {version()}", advice)
        return Answer("ok", f"{text}, of version {theirs}")

    def bucket(self) -> Answer:
        """That of results. Whether one may write there is not tried."""
        place = self.stack.get().results
        some = s3.reach(place.uri("runs/"), "signed")
        return Answer("ok", f"{place.name} can be listed{'' if some else ', and has no run'}")

    def concurrency(self) -> Answer:
        """The quota of the account."""
        self.identity.get()
        from .. import session

        try:
            with session.aws_errors("AWS Lambda"):
                limits = session.client("lambda", patient=False).get_account_settings()["AccountLimit"]
        except UsageError as error:
            return Answer("doubtful", "the limit of the account cannot be read", str(error))
        most, free = limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]
        text = f"{most:,} invocations at once, {free:,} of them not reserved"
        if most < _USUAL_CONCURRENCY:
            return Answer("doubtful", text, f"new accounts have fewer than {_USUAL_CONCURRENCY:,}: {_QUOTA}")
        return Answer("ok", text)

    def memory(self) -> Answer:
        """What the functions have; Lambda does not tell what an account may have."""
        from ..aws import stack

        registry = template.read(template.find().path)
        try:
            functions = stack.deployed(self.stack.get(), registry, "SepExtract", 1, patient=False)
        except NotCheckedError:
            most = max(registry.function(name).memory_mb for name in registry.functions)
            text = f"the functions want up to {most:,} MB, and a new account may allow {_NEW_ACCOUNT_MB:,}"
            if most <= _NEW_ACCOUNT_MB:
                return Answer("ok", text)
            return Answer("doubtful", text, "ask AWS Support for more, or lower MemorySize in template.yaml")
        tiers = dict.fromkeys(f"{each.memory_mb:,} MB ({each.name})" for each in functions.tiers.values())
        text = ", ".join(tiers)
        return Answer("doubtful", text, functions.notices[0]) if functions.notices else Answer("ok", text)


def _session() -> Any:
    try:
        from .. import session
    except extras.MissingExtraError:
        raise NotCheckedError("it needs the extra aws") from None
    return session.session()


def checks(stack: str) -> Iterable[Check]:
    """`stack` is the name of the deployed one."""
    account = _Account(stack)
    both = ("aws", "deploy")
    yield Check("AWS region", both, "not usable", account.region)
    yield Check("AWS credentials", both, "none that work", account.credentials)
    yield Check("stack", ("aws",), "cannot be used", account.deployed, 2 * REQUEST_S)
    yield Check("results bucket", ("aws",), "cannot be read", account.bucket, 3 * REQUEST_S)
    yield Check("Lambda concurrency", ("aws",), "unknown", account.concurrency, 2 * REQUEST_S)
    yield Check("Lambda memory", ("aws",), "unknown", account.memory, 3 * REQUEST_S)
