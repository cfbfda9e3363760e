"""Who may do what with a stack: what people who run skyfan need, and which requests which role may make.

docs/permissions.md prints both tables. tests/contract/test_access.py evaluates every cell of the second one,
and compares the first one with the requests that the commands send.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

READER, ACCOUNTANT, INVOKER = "status, runs, collect", "costs, report", "run, retry, cancel, watch"
"""People, by the commands that they run."""
PEOPLE = (READER, ACCOUNTANT, INVOKER)
SEP, SUMMARY, TRANSITS, WATCHER = "SepExtract", "FitsSummary", "Transits", "Watcher"
"""Functions; SepExtractLarge has the role of SepExtract, and the Watcher is made with StandingQueries=on."""
ROLES = (SEP, SUMMARY, TRANSITS, WATCHER, *PEOPLE)


@dataclass(frozen=True)
class Grant:
    """A permission that commands need, on resources that may have wildcards."""

    action: str
    resources: tuple[str, ...]
    people: tuple[str, ...]
    optional: str = ""
    """What is missing without it; empty for what is necessary."""


@dataclass(frozen=True)
class Request:
    """A request as IAM sees it, and the roles that may make it."""

    what: str
    action: str
    resource: str
    roles: tuple[str, ...] = ()
    prefix: str = ""
    """s3:prefix, of a listing."""


RESULTS, FAILURES = "arn:aws:s3:::RESULTS", "arn:aws:s3:::FAILURES"
FUNCTION = "arn:aws:lambda:REGION:ACCOUNT:function:STACK"
_LOGS = "arn:aws:logs:REGION:ACCOUNT:log-group:/aws/lambda/STACK"
_STACK = ("arn:aws:cloudformation:REGION:ACCOUNT:stack/STACK/*",)
_ALL_FUNCTIONS = (f"{FUNCTION}-*",)
_ASSUMED = "the limits of template.yaml are used, and a line says so"

GRANTS = (
    Grant("cloudformation:DescribeStacks", _STACK, PEOPLE),
    Grant("cloudformation:DescribeStackEvents", _STACK, PEOPLE, "no reason is given for a stack that failed"),
    Grant("s3:ListBucket", (RESULTS, FAILURES), PEOPLE),
    Grant(
        "s3:GetObject",
        (f"{RESULTS}/runs/*", f"{RESULTS}/watches/*", f"{FAILURES}/aws/lambda/async/*"),
        PEOPLE,
    ),
    Grant("logs:FilterLogEvents", (f"{_LOGS}-*:*",), (ACCOUNTANT,)),
    Grant("lambda:GetFunctionConfiguration", _ALL_FUNCTIONS, (ACCOUNTANT, INVOKER), _ASSUMED),
    Grant("lambda:GetFunctionEventInvokeConfig", _ALL_FUNCTIONS, (INVOKER,), _ASSUMED),
    Grant("lambda:GetFunctionConcurrency", _ALL_FUNCTIONS, (INVOKER,), "nothing is taken to be reserved"),
    Grant("lambda:GetAccountSettings", ("*",), (INVOKER,), "1,000 invocations at once are assumed"),
    Grant("lambda:InvokeFunction", _ALL_FUNCTIONS, (INVOKER,)),
    Grant(
        "s3:PutObject",
        (
            *(f"{RESULTS}/runs/*/{name}.json" for name in ("run", "lease", "cancel")),
            *(f"{RESULTS}/runs/*/{name}/*.parquet" for name in ("plans", "receipts")),
            f"{RESULTS}/watches/*/watch.json",
            f"{RESULTS}/runs/*/receipts/*.sent",
        ),
        (INVOKER,),
    ),
    *(
        Grant(
            f"lambda:{verb}FunctionConcurrency",
            _ALL_FUNCTIONS,
            (INVOKER,),
            "`cancel --restore` cannot start functions that an earlier version of skyfan stopped",
        )
        for verb in ("Put", "Delete")
    ),
)

_RUN = f"{RESULTS}/runs/deep"
_CATALOG, _SUMMARY = f"{_RUN}/catalogs/stpubdata/a.fits.cat.fits", f"{_RUN}/summaries/stpubdata/a.fits.json"
_CANDIDATES = f"{_RUN}/transits/stpubdata/a_lc.fits.cat.fits"
_ARCHIVE = "arn:aws:s3:::stpubdata"
_FUNCTIONS = (SEP, SUMMARY, TRANSITS)
_WATCH = f"{RESULTS}/watches/deep"
_QUEUE = "arn:aws:sqs:REGION:ACCOUNT:STACK-WatchQueue"

REQUESTS = (
    Request("read the public archive", "s3:GetObject", f"{_ARCHIVE}/hst/public/a.fits", _FUNCTIONS),
    Request("list it", "s3:ListBucket", _ARCHIVE, _FUNCTIONS, prefix="hst/public/ibg7/"),
    Request("read what is proprietary there", "s3:GetObject", f"{_ARCHIVE}/hst/proprietary/a.fits"),
    Request("read another bucket", "s3:GetObject", "arn:aws:s3:::other/a.fits"),
    Request("read a catalog", "s3:GetObject", _CATALOG, (SEP, *PEOPLE)),
    Request("write a catalog", "s3:PutObject", _CATALOG, (SEP,)),
    Request("read a summary", "s3:GetObject", _SUMMARY, (SUMMARY, *PEOPLE)),
    Request("write a summary", "s3:PutObject", _SUMMARY, (SUMMARY,)),
    Request("read candidates", "s3:GetObject", _CANDIDATES, (TRANSITS, *PEOPLE)),
    Request("write candidates", "s3:PutObject", _CANDIDATES, (TRANSITS,)),
    Request("mark a result as doubtful", "s3:PutObject", f"{_RUN}/doubtful/NO_SKY/a.fits", _FUNCTIONS),
    Request("record a file that failed", "s3:PutObject", f"{_RUN}/failures/a.fits.json", _FUNCTIONS),
    Request("read that record", "s3:GetObject", f"{_RUN}/failures/a.fits.json", PEOPLE),
    Request("list results", "s3:ListBucket", RESULTS, ROLES, prefix="runs/deep/catalogs/"),
    Request("see whether a run is cancelled", "s3:GetObject", f"{_RUN}/cancel.json", (*_FUNCTIONS, *PEOPLE)),
    Request("cancel a run", "s3:PutObject", f"{_RUN}/cancel.json", (INVOKER,)),
    Request("begin a run", "s3:PutObject", f"{_RUN}/run.json", (INVOKER,)),
    Request("hold a run's lease", "s3:PutObject", f"{_RUN}/lease.json", (INVOKER,)),
    Request("add a plan", "s3:PutObject", f"{_RUN}/plans/0123456789abcdef.parquet", (INVOKER,)),
    Request("add a receipt", "s3:PutObject", f"{_RUN}/receipts/20261126T1-ab.parquet", (INVOKER,)),
    Request("the same through a *", "s3:PutObject", f"{_RUN}/receipts/failures/evil.parquet", (INVOKER,)),
    Request("read a plan or a receipt", "s3:GetObject", f"{_RUN}/receipts/20261126T1-ab.parquet", PEOPLE),
    Request("write outside runs/", "s3:PutObject", f"{RESULTS}/a.fits"),
    Request("delete a result", "s3:DeleteObject", _CATALOG),
    Request("delete an old version", "s3:DeleteObjectVersion", _CATALOG),
    Request("turn versions off", "s3:PutBucketVersioning", RESULTS),
    Request("change the bucket's policy", "s3:PutBucketPolicy", RESULTS),
    Request("leave a record of Lambda's", "s3:PutObject", f"{FAILURES}/aws/lambda/async/f/x", _FUNCTIONS),
    Request("read it", "s3:GetObject", f"{FAILURES}/aws/lambda/async/f/x", PEOPLE),
    Request("list them", "s3:ListBucket", FAILURES, (*_FUNCTIONS, *PEOPLE), prefix="aws/lambda/async/f/"),
    Request("write SepExtract's log", "logs:PutLogEvents", f"{_LOGS}-SepExtract:log-stream:x", (SEP,)),
    Request("write FitsSummary's log", "logs:PutLogEvents", f"{_LOGS}-FitsSummary:log-stream:x", (SUMMARY,)),
    Request("write Transits' log", "logs:PutLogEvents", f"{_LOGS}-Transits:log-stream:x", (TRANSITS,)),
    Request("read a log", "logs:FilterLogEvents", f"{_LOGS}-SepExtract:*", (ACCOUNTANT,)),
    Request("invoke a function", "lambda:InvokeFunction", f"{FUNCTION}-SepExtract", (WATCHER, INVOKER)),
    Request("add a file of a watch", "s3:PutObject", f"{_RUN}/plans/0123456789abcdef.planned", (WATCHER,)),
    Request("add its receipt", "s3:PutObject", f"{_RUN}/receipts/0123456789abcdef.sent", (WATCHER, INVOKER)),
    Request("read a watch", "s3:GetObject", f"{_WATCH}/watch.json", (WATCHER, *PEOPLE)),
    Request("add, pause or remove a watch", "s3:PutObject", f"{_WATCH}/watch.json", (INVOKER,)),
    Request("write its ledger", "s3:PutObject", f"{_WATCH}/ledger.json", (WATCHER,)),
    Request("write its log", "s3:PutObject", f"{_WATCH}/log/20261127T1-ab.jsonl", (WATCHER,)),
    Request("keep an unknown message", "s3:PutObject", f"{RESULTS}/watches/.unknown/a.json", (WATCHER,)),
    Request("take a message", "sqs:ReceiveMessage", _QUEUE, (WATCHER,)),
    Request("delete a message", "sqs:DeleteMessage", _QUEUE, (WATCHER,)),
    Request("send a message", "sqs:SendMessage", _QUEUE),
    Request("take one of another queue", "sqs:ReceiveMessage", "arn:aws:sqs:REGION:ACCOUNT:other"),
    Request("write the Watcher's log", "logs:PutLogEvents", f"{_LOGS}-Watcher:log-stream:x", (WATCHER,)),
    Request("invoke any other", "lambda:InvokeFunction", "arn:aws:lambda:REGION:ACCOUNT:function:other"),
    Request("change a function's code", "lambda:UpdateFunctionCode", f"{FUNCTION}-SepExtract"),
    Request("pass a role on", "iam:PassRole", "arn:aws:iam::ACCOUNT:role/STACK-SepExtractRole"),
)


def policy(person: str) -> list[dict[str, object]]:
    """The statements of somebody's policy, with the names of buckets, stack, region and account left open."""
    grants = [grant for grant in GRANTS if person in grant.people]
    return [{"Effect": "Allow", "Action": each.action, "Resource": list(each.resources)} for each in grants]


def grant_rows() -> Iterable[list[str]]:
    """The rows of the table of grants."""
    for grant in GRANTS:
        cells = ["yes" if person in grant.people else "" for person in PEOPLE]
        where = ", ".join(f"`{name}`" for name in grant.resources)
        yield [grant.action, where, *cells, grant.optional or "**necessary**"]


def request_rows() -> Iterable[list[str]]:
    """The rows of the table of requests."""
    for request in REQUESTS:
        cells = ["yes" if role in request.roles else "" for role in ROLES]
        yield [request.what, f"{request.action} `{request.resource.removeprefix('arn:aws:s3:::')}`", *cells]
