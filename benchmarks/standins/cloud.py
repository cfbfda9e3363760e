"""A stand-in for a deployed stack: moto's S3 and CloudFormation, and a Lambda endpoint that does the work.

    python -m standins.cloud --fail 0.01 --doubt 0.1 --twice 0.01 --seed 1

Prints one JSON line with the URLs of `aws` (moto) and `lambda`, and serves until it is ended. A file's result
is written into moto's S3 without HTTP, since only what skyfan does there is looked at: a small object in the
place of a catalog, with a mark if it is doubtful, or a failure record. What becomes of a file depends on its
URI and the seed alone. GET /work on the Lambda endpoint tells how often each file was processed,
GET /accepted how often it was accepted.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import random
import sys
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from .lambda_endpoint import Endpoint, response

STACK, RESULTS, FAILURES = "skyfan", "skyfan-results", "skyfan-failures"
FUNCTIONS = ("SepExtract", "SepExtractLarge", "FitsSummary", "Transits")
_LOOPBACK = "127.0.0.1"


class Worker:
    """Takes events as the functions would, and leaves what they would leave."""

    def __init__(
        self, backend: Any, seed: int, fail: float, drop: float, twice: float, doubt: float = 0.0
    ) -> None:
        self.backend, self.seed = backend, seed
        self.fail, self.drop, self.twice, self.doubt = fail, drop, twice, doubt
        self.taken: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self._deliveries = random.Random(seed)

    def fate(self, uri: str) -> str:
        """done, failed or dropped: the same for a file whenever it is asked."""
        chance = random.Random(f"{self.seed} {uri}").random()
        if chance < self.fail:
            return "failed"
        return "dropped" if chance < self.fail + self.drop else "done"

    def is_doubtful(self, uri: str) -> bool:
        """Whether the result of a file is doubtful, if it is done."""
        return random.Random(f"doubt {self.seed} {uri}").random() < self.doubt

    def take(self, function: str, request_id: str, payload: bytes) -> None:
        event = json.loads(payload)
        self.accepted.update(event.get("inputs") or [event["input"]])
        for _ in range(2 if self._deliveries.random() < self.twice else 1):
            for uri in event.get("inputs") or [event["input"]]:
                self.taken[uri] += 1
                fate = self.fate(uri)
                key = uri.removeprefix("s3://")
                if fate == "done":
                    if self.is_doubtful(uri):
                        self.backend.put_object(RESULTS, f"runs/{event['run']}/doubtful/MASKED/{key}", b"")
                    name = f"runs/{event['run']}/catalogs/{key}.cat.fits"
                    self.backend.put_object(RESULTS, name, b"catalog")
                elif fate == "failed":
                    self._fail(function, request_id, uri, event)

    def _fail(self, function: str, request_id: str, uri: str, event: dict[str, Any]) -> None:
        now = datetime.now(UTC)
        error = {"errorType": "PixelError", "errorMessage": f"{uri} has no good pixel"}
        record = {
            "version": "1.0",
            "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "requestContext": {
                "requestId": request_id,
                "functionArn": f"arn:aws:lambda:us-east-1:123456789012:function:{function}:$LATEST",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 3,
            },
            "requestPayload": {**{k: v for k, v in event.items() if k != "inputs"}, "input": uri},
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled",
            },
            "responsePayload": error,
        }
        body = json.dumps(record).encode()
        if "inputs" in event:
            key = uri.removeprefix("s3://")
            self.backend.put_object(RESULTS, f"runs/{event['run']}/failures/{key}.json", body)
        else:
            folder = f"aws/lambda/async/{function}/{now:%Y/%m/%d}"
            self.backend.put_object(FAILURES, f"{folder}/{now:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}", body)


class Cloud(Endpoint):
    """The Lambda endpoint of the stack."""

    def __init__(self, worker: Worker, latency: float, seed: int) -> None:
        super().__init__(worker.take, latency, seed)
        self.worker = worker

    def answer(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"GET /work "):
            return response(200, json.dumps(self.worker.taken).encode())
        if head.startswith(b"GET /accepted "):
            return response(200, json.dumps(self.worker.accepted).encode())
        return super().answer(head, body)


def template() -> dict[str, Any]:
    """A stack with the outputs of template.yaml and only the two buckets for real."""
    outputs = {"ResultsBucket": RESULTS, "FailuresBucket": FAILURES, "ProcessorArchitecture": "x86_64"}
    outputs |= {"DoubtfulMarks": "doubtful", "StandingQueries": "announcements"}
    for name in FUNCTIONS:
        deployed = f"{STACK}-{name}"
        outputs[f"{name}Name"] = deployed
        outputs[f"{name}Arn"] = f"arn:aws:lambda:us-east-1:123456789012:function:{deployed}"
        outputs[f"{name}LogGroup"] = f"/aws/lambda/{deployed}"
    return {
        "Resources": {
            "Results": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": RESULTS}},
            # Empty: no input is read, but sizes are asked for.
            "Archive": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "stpubdata"}},
            "Failures": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": FAILURES}},
        },
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }


@contextlib.contextmanager
def moto() -> Any:
    """A moto server in this process with the stack in it: its URL, and its S3 as an object."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")
    import boto3
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends
    from standins import aws

    with aws.moto() as url:
        boto3.client("cloudformation", endpoint_url=url, region_name="us-east-1").create_stack(
            StackName=STACK, TemplateBody=json.dumps(template())
        )
        # moto drops that property of a template
        aws.client("s3", url).put_bucket_versioning(
            Bucket=RESULTS, VersioningConfiguration={"Status": "Enabled"}
        )
        yield url, s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


async def run(options: argparse.Namespace, url: str, backend: Any) -> None:
    worker = Worker(backend, options.seed, options.fail, options.drop, options.twice, options.doubt)
    cloud = Cloud(worker, options.latency, options.seed)
    cloud.concurrency, cloud.event_age = options.concurrency, options.event_age
    server = await cloud.start(options.port)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"aws": url, "lambda": f"http://{_LOOPBACK}:{port}"}), file=sys.__stdout__, flush=True)
    await server.serve_forever()


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=1000, help="told, not kept")
    parser.add_argument("--event-age", type=int, default=21600, help="seconds; told, not kept")
    for name in ("fail", "drop", "twice", "doubt"):
        parser.add_argument(f"--{name}", type=float, default=0.0, help="share of the files")
    options = parser.parse_args(words)
    with moto() as (url, backend):
        asyncio.run(run(options, url, backend))


if __name__ == "__main__":
    main(sys.argv[1:])
