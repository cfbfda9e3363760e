"""The sam engine: the local engine with each attempt in a container of its own, by `sam local invoke`.

A local S3 server stands beside it: an image is put there, its container reads from it and writes to it, and
what the container wrote is copied into the folder of the run, as if the function had run in a worker process.
"""

import importlib.util
import ipaddress
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from skyfan_contract import INPUTS

from .. import events, extras, files, template
from ..engine import LocalOptions, Selection
from ..errors import UsageError
from ..plans.plan import Plan
from ..runs.outcome import Outcome
from ..storage import uris
from ..storage.uris import below_bucket
from ..task import Task
from ..template import FUNCTION, Function, Template
from . import lambda_format
from .engine import LocalEngine
from .pool import Attempt, Job
from .run_folder import RunFolder

IMAGES, RESULTS = "images", "results"
"""Buckets of the S3 server."""
_NOBODY = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "SAM_CLI_TELEMETRY": "0"}
_REPORT = re.compile(r"^REPORT RequestId: .*?\tDuration: ([\d.]+) ms", re.MULTILINE)
_DOCKER = "https://docs.docker.com/get-started/get-docker/"


def program() -> str:
    """The path of sam. Raises UsageError if it is not installed."""
    clone = template.OWN / ".venv/sam/bin/sam"
    if found := shutil.which("sam") or (str(clone) if clone.is_file() else None):
        return found
    how = "pipx install aws-sam-cli" if template.IS_INSTALLED else "make sam"
    raise UsageError(f"sam, the AWS tool for stacks, is not on PATH: install it with `{how}`")


def check() -> None:
    """Raises UsageError if a program that the engine needs is missing, with how to get it."""
    program()
    docker()


def docker(timeout_s: float = 60) -> str:
    """The path of docker, whose daemon answers. Raises UsageError if there is none, with how to get it."""
    found = shutil.which("docker")
    if not found:
        raise UsageError(f"--engine sam runs containers, and Docker is not installed: {_DOCKER}")
    try:
        done = subprocess.run([found, "info"], capture_output=True, check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"--engine sam runs containers, and `docker info` does not end within {timeout_s:g} s: "
            "restart Docker"
        ) from None
    if done.returncode:
        raise UsageError(
            "--engine sam runs containers, and no Docker daemon answers: start Docker (on Linux `sudo "
            "systemctl start docker`); if it runs, `docker info` says why you may not use it"
        )
    return found


def check_build_tools() -> None:
    """Raises UsageError if a program that `sam build` needs is missing, with how to get it."""
    for program, installed in (("make", shutil.which("make")), ("pip", importlib.util.find_spec("pip"))):
        if not installed:
            how = f"{sys.executable} -m ensurepip" if program == "pip" else "the system's package manager"
            raise UsageError(f"sam build needs {program}, which is not installed: install it with {how}")


class SamEngine(LocalEngine):
    """Runs the built functions of a template in containers; see engine.Engine. Takes local files only."""

    def __init__(self, registry: Template, options: LocalOptions, build: Callable[[], Path]) -> None:
        """`build` makes the artifacts if need be, and returns the built template."""
        super().__init__(registry, options)
        self._build, self._stack = build, ExitStack()
        self._built = Path()
        self._server: Server | None = None

    def send(self, task: Task, files: Plan | Selection, on_event: events.OnEvent = events.ignore) -> Outcome:
        """See engine.Engine. Raises UsageError if Docker or sam is missing, or a file is not local."""
        check()
        for item in files if isinstance(files, Plan) else ():
            if not item.uri.startswith("file://"):
                raise UsageError(f"{item.uri}: --engine sam takes local files; --engine local reads S3")
        self._built = self._build()
        return super().send(task, files, on_event)

    def pool(
        self, function: Function, folder: RunFolder, jobs: int, log: Callable[[str], None]
    ) -> "Containers":
        """The containers of a function. The first of them starts the S3 server."""
        if self._server is None:
            self._server = self._stack.enter_context(Server())
        return Containers(function, folder, self._server, self._built, jobs, log)

    def close(self) -> None:
        self._stack.close()
        self._server = None


class Server:
    """A local S3 server in this process, with a bucket of images and one of results."""

    def __enter__(self) -> "Server":
        with extras.needed("sam"):
            from moto.server import ThreadedMotoServer
        with extras.needed("aws"):  # which moto brings
            import boto3
            from botocore.config import Config

        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request
        address, name = _addresses()
        self._server = ThreadedMotoServer(ip_address=address, port=0, verbose=False)
        self._server.start()
        port = self._server.get_host_and_port()[1]
        self.url = f"http://{name}:{port}"
        """For containers."""
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=f"http://{address}:{port}",
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(proxies={}),
        )
        for bucket in (IMAGES, RESULTS):
            self.client.create_bucket(Bucket=bucket, ACL="public-read")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def put_image(self, uri: str) -> str:
        """Uploads a local file; returns the URI by which containers read it."""
        path, key = uris.local_path(uri), uris.key(uri)
        if path and path.is_file():
            self.client.upload_file(str(path), IMAGES, key, {"ACL": "public-read"})
        return f"s3://{IMAGES}/{key}"

    def take_results(self, run: str, key: str) -> Iterator[tuple[str, bytes]]:
        """Removes the image of this key, and all that containers wrote for it: keys and bodies. The keys are
        those that a file:// URI would have had.
        """
        self.client.delete_object(Bucket=IMAGES, Key=key)
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=RESULTS, Prefix=f"runs/{run}/")
        found = [item["Key"] for page in pages for item in page.get("Contents", [])]
        for name in (name for name in found if f"/{IMAGES}/{key}" in name):
            body = self.client.get_object(Bucket=RESULTS, Key=name)["Body"].read()
            yield name.replace(f"/{IMAGES}/", "/", 1), body
            self.client.delete_object(Bucket=RESULTS, Key=name)


def _addresses() -> tuple[str, str]:
    """The address on which the S3 server listens, and the name by which containers reach it.

    Other machines must not reach it. Docker Desktop forwards a name to this machine's own address; on Linux
    the address is that of Docker's bridge.
    """
    if sys.platform == "darwin":
        return "127.0.0.1", "host.docker.internal"
    command = ["docker", "network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    if not (address := gateway(found)):
        raise UsageError(
            f"Docker's network `bridge` has no gateway, which containers need: see `{' '.join(command)}`"
        )
    return address, address


def gateway(ipam: str) -> str | None:
    """This machine's address in one of Docker's networks, of whose IPAM configuration `ipam` is the JSON.

    A daemon that has just made its bridge does not say; it takes the first address, as Docker does without
    one. IPv4 only: so are the names in SAM's containers.
    """
    for config in json.loads(ipam or "null") or []:
        network = ipaddress.ip_network(config["Subnet"], strict=False)
        if network.version == 4:
            return str(config.get("Gateway") or network[1]).split("/")[0]
    return None


@dataclass
class _Container:
    job: Job
    process: "subprocess.Popen[bytes]"
    out: IO[bytes]
    err: IO[bytes]
    event: Path
    began: float


class Containers:
    """Up to `jobs` containers of one function at a time, as a Pool has worker processes."""

    def __init__(
        self,
        function: Function,
        folder: RunFolder,
        server: Server,
        built: Path,
        jobs: int,
        log: Callable[[str], None],
    ) -> None:
        self.function, self.jobs = function, jobs
        self.arn = lambda_format.arn(function.name, "us-east-1")
        self._folder, self._server, self._log = folder, server, log
        self.take_notice = lambda: ""
        self._containers: list[_Container] = []
        self._stack = ExitStack()
        self._scratch = self._stack.enter_context(files.scratch())
        self._template = built.with_name(f"skyfan-{function.name}.yaml")
        self._template.write_text(_adapted(built, function, server.url), encoding="utf-8")

    def can_take(self) -> bool:
        return len(self._containers) < self.jobs

    def is_busy(self) -> bool:
        return bool(self._containers)

    def release(self) -> None:
        """Nothing is kept warm."""

    def give(self, job: Job) -> None:
        """Starts a container for a job."""
        event = self._scratch / f"{job.request_id}.json"
        own = {key: self._server.put_image(job.event[key]) for key in ("input", "detect") if key in job.event}
        event.write_text(json.dumps(job.event | own))
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115  (closed by _end)
        process = subprocess.Popen(
            [
                *(program(), "local", "invoke", self.function.name, "--event", str(event)),
                *("--template", str(self._template), *_pull()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, **_NOBODY, "AWS_DEFAULT_REGION": "us-east-1"},
            start_new_session=True,
        )
        self._containers.append(_Container(job, process, out, err, event, time.monotonic()))

    def wait(self, timeout: float) -> list[Attempt]:
        """Waits up to `timeout` seconds; returns the attempts that have finished."""
        time.sleep(timeout)
        ended = [item for item in self._containers if item.process.poll() is not None]
        return [self._end(item) for item in ended]

    def close(self) -> None:
        """Ends all containers. Files in flight get no result."""
        for item in self._containers:
            item.process.terminate()  # sam removes its container
        for item in self._containers:
            item.process.wait()
        self._containers.clear()
        self._stack.close()

    def _end(self, item: _Container) -> Attempt:
        job, real, local = item.job, f"s3://{IMAGES}/{uris.key(item.job.input)}", item.job.input
        self._containers.remove(item)
        said, answer = _text(item.err).replace(real, local), _text(item.out)
        item.event.unlink()
        written = dict(self._server.take_results(self._folder.task.run, uris.key(local)))
        if str(self._folder.result(local).relative_to(self._folder.output)) in written:
            self._folder.clear_result(local)  # and the marks of an earlier one
        names = json.dumps(real).encode(), json.dumps(local).encode()
        for key, body in written.items():
            path = self._folder.output / key
            path.parent.mkdir(parents=True, exist_ok=True)
            # A failure record, or another document that names the image.
            path.write_bytes(body.replace(*names) if key.endswith(".json") else body)
        self._log(said if said.endswith("\n") else f"{said}\n")
        seconds = time.monotonic() - item.began
        if found := _REPORT.findall(said):
            seconds = float(found[-1]) / 1000
        result = _answer(answer)
        if result is None:
            reason = next((line for line in reversed(said.splitlines()) if line.strip()), "no output")
            has_begun = "START RequestId" in said
            error = {"errorType": "Runtime.ExitError", "errorMessage": f"sam local invoke: {reason.strip()}"}
            if "timed out" in said:
                error = lambda_format.timed_out(job.request_id, self.function.timeout_s)
            return Attempt(job, seconds, error=error, started=has_begun)
        if "errorType" in result and "record" not in result:
            return Attempt(job, seconds, error=result)
        return Attempt(job, seconds, result={**result, "input": local})


def _adapted(built: Path, function: Function, url: str) -> str:
    """The built template with this engine's limits, and with places in the local S3 server's bucket."""
    document = yaml.safe_load(built.read_text(encoding="utf-8"))
    for name, resource in document["Resources"].items():
        if resource["Type"] == FUNCTION and name == function.name:
            given = function.environment.items()
            places = {
                k: f"s3://{RESULTS}/{below_bucket(v)}" if v.startswith("s3://") else v for k, v in given
            }
            places |= {INPUTS: IMAGES, "AWS_ENDPOINT_URL_S3": url}
            limits = {"MemorySize": int(function.memory_mb), "Timeout": max(1, int(function.timeout_s))}
            resource["Properties"] |= {"Environment": {"Variables": places}, **limits}
    return yaml.safe_dump(document)


def _pull() -> tuple[str, ...]:
    """Options of sam: without a pull if Docker has Lambda's image already."""
    machine = "arm64" if os.uname().machine in ("arm64", "aarch64") else "x86_64"
    image = f"public.ecr.aws/lambda/python:3.13-{machine}"
    found = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
    return () if found.returncode else ("--skip-pull-image",)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    with file:
        return file.read().decode(errors="replace")


def _answer(text: str) -> dict[str, Any] | None:
    """What the function returned: the last line that is a JSON object."""
    for line in reversed(text.splitlines()):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return None
