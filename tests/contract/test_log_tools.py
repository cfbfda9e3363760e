"""skyfan costs --log reads what the real AWS CLI and SAM CLI print of a log group, whatever their options."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner
from standins import cloud

from skyfan.cli import main

ENVIRONMENTS = Path(__file__).parents[2] / ".venv"
GROUP = "/aws/lambda/skyfan-SepExtract"
BEGAN = datetime.now(UTC) - timedelta(minutes=5)
REPORTS = 7
AWS = tuple(f"logs filter-log-events --log-group-name {GROUP} --output {form}" for form in ("json", "table"))
SAM = (f"logs --cw-log-group {GROUP} --start-time 1hour --output json",)


@pytest.fixture(scope="module", params=["text", "json"])
def group(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """A log group in moto, with logs in Lambda's text or JSON format; gives the environment of its users."""
    with pytest.MonkeyPatch.context() as patch, cloud.moto() as (url, _):
        values = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "SAM_CLI_TELEMETRY": "0",
        }
        for name, value in values.items():
            patch.setenv(name, value)
        client = boto3.client("logs")
        client.create_log_group(logGroupName=GROUP)
        client.create_log_stream(logGroupName=GROUP, logStreamName="one")
        times = [BEGAN + timedelta(seconds=number) for number in range(REPORTS)]
        events = [
            {"timestamp": round(when.timestamp() * 1000), "message": text}
            for number, when in enumerate(times)
            for text in lines(f"{number:08}-6450-11e8-adbb-2f24ab6d943e", when, request.param)
        ]
        client.put_log_events(logGroupName=GROUP, logStreamName="one", logEvents=events)
        yield {**os.environ, **values}
        client.delete_log_group(logGroupName=GROUP)


def lines(request: str, when: datetime, form: str) -> list[str]:
    result = {"level": "INFO", "run": "r", "input": f"s3://b/{request}.fits", "sources": 3, "seconds": 1.0}
    if form == "text":
        sizes = "Memory Size: 1024 MB\tMax Memory Used: 164 MB"
        times = "Duration: 1060.45 ms\tBilled Duration: 1061 ms"
        report = f"REPORT RequestId: {request}\t{times}\t{sizes}\t\n"
        return [
            f"START RequestId: {request}\n",
            f"{json.dumps(result)}\n",
            f"END RequestId: {request}\n",
            report,
        ]
    metrics = {"durationMs": 1060.45, "billedDurationMs": 1061, "memorySizeMB": 1024, "maxMemoryUsedMB": 164}
    record = {"requestId": request, "metrics": metrics, "status": "success"}
    stamp = when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return [json.dumps(result), json.dumps({"time": stamp, "type": "platform.report", "record": record})]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "words"), [("awscli/bin/aws", line) for line in AWS] + [("sam/bin/sam", line) for line in SAM]
)
def test_what_the_tools_print_is_a_whole_bill(
    group: dict[str, str], tmp_path: Path, tool: str, words: str
) -> None:
    program = shutil.which(str(ENVIRONMENTS / tool))
    if program is None:
        pytest.skip(f"{tool} is not here; `make .venv/{tool.partition('/')[0]}/.made` installs it")
    done = subprocess.run(
        [program, *words.split()], env=group, cwd=tmp_path, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "export").write_bytes(done.stdout)
    bill = CliRunner().invoke(main, ["costs", "--log", str(tmp_path / "export"), "--json"])
    assert bill.exit_code == 0, done.stdout[:2000]
    assert json.loads(bill.stdout)["bill"]["invocations"] == REPORTS
