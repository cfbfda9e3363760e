"""What SAM built and the image it runs in: for tests/lambda and benchmarks/cold_start."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
SAM = REPO / ".venv" / "sam" / "bin" / "sam"
STAND_IN = "skyfan-lambda"
# SAM looks for the image under this name, which is SAM's to know.
_IMAGE_NAME = """
from samcli.local.docker.lambda_image import LambdaImage, Runtime
print(f"{LambdaImage._INVOKE_REPO_PREFIX}/{Runtime.get_image_name_tag('python3.13', 'x86_64')}")
"""
# What a container calls the machine it runs on; `docker network inspect` does not always say.
_GATEWAY = """
import socket, struct
route = next(line.split() for line in open("/proc/net/route") if line.split()[1] == "00000000")
print(socket.inet_ntoa(struct.pack("<L", int(route[2], 16))))
"""
# Nobody's account: what SAM and boto3 want to find.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "SAM_CLI_TELEMETRY": "0",
}

# How sam runs what it built: with the stand-in, and with a bucket that is there.
LOCAL = (
    "--skip-pull-image",
    *("--parameter-overrides", "ParameterKey=ExistingOutputBucket,ParameterValue=results"),
)


def run(*command: object, timeout: float, cwd: Path = REPO) -> str:
    """Run a command and return its stdout. Raises RuntimeError with its output if it fails."""
    words = [str(part) for part in command]
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)[:400]}\n{done.stdout[-8000:]}\n{done.stderr[-8000:]}")
    return done.stdout


def skyfan(folder: Path, *words: str, code: int, environment: dict[str, str] | None = None) -> Any:
    """The JSON document of a command that a user runs in ``folder``, which must end with ``code``."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("skyfan")), *words, "--json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


def missing() -> str | None:
    """Why no container can be run here, or None."""
    if platform.machine() != "x86_64":
        return "the stand-in for Lambda's image is made for x86_64 only"
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        return "no Docker daemon answers"
    if not SAM.exists():
        return "SAM is not installed: make sam"
    if os.geteuid() or not shutil.which("mmdebstrap"):
        return "making an image needs root and mmdebstrap"
    return None


def make_stand_in() -> str:
    """Make the image with Python 3.13 and Lambda's runtime; SAM finds it too if AWS's own is not there."""
    run("bash", REPO / "tests" / "lambda" / "image.sh", STAND_IN, timeout=420)
    name = run(SAM.with_name("python"), "-c", _IMAGE_NAME, timeout=60).strip()
    label = ["docker", "image", "inspect", "--format", '{{index .Config.Labels "skyfan.recipe"}}', name]
    found = subprocess.run(label, capture_output=True, text=True, check=False)
    if found.returncode or found.stdout.strip():  # missing, or a stand-in that may be an older one
        run("docker", "tag", STAND_IN, name, timeout=60)
    return STAND_IN


def gateway() -> str:
    """What a container calls the machine that it runs on; needs the stand-in."""
    return run("docker", "run", "--rm", STAND_IN, "python3.13", "-c", _GATEWAY, timeout=60).strip()


def build(folder: Path, stack: Path = REPO) -> Path:
    """Let SAM build a stack: template.yaml, a folder for each function and AstroLayer/python."""
    run(SAM, "build", "--build-dir", folder, timeout=420, cwd=stack)
    return folder
