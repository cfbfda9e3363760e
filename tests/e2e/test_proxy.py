"""Whole commands in a network that is left through a proxy only, and whose TLS no system trusts.

The proxy wants a user. moto, the Lambda endpoint and MAST stand behind TLS, signed by an authority made here.
"""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
import trustme
from standins.cloud import RESULTS
from standins.mast import Mast
from standins.processes import SKYFAN, running
from standins.sky import Sky

from skyfan.plans import plan

pytestmark = pytest.mark.slow
START = [sys.executable, "-m", "skyfan"]


@dataclass
class Office:
    """The network: URLs of the proxy and of what stands behind TLS, and the file of certificates."""

    proxy: str
    aws: str
    functions: str
    mast: str
    plain_aws: str
    """moto without TLS, for the test itself."""
    certificates: Path

    def connections(self) -> set[str]:
        """Where the proxy connected to so far."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{self.proxy}/requests", timeout=30) as answer:
            return {line.replace("CONNECT ", "https://") for line in json.load(answer)}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder, ca = tmp_path_factory.mktemp("tls"), trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    pem = str(folder / "server.pem")
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    with ExitStack() as stack:
        proxy = stack.enter_context(running("http_proxy", "--user", "anna:s%t"))
        plain = json.loads(stack.enter_context(running("cloud")))
        mast = stack.enter_context(Mast(Sky(20)))
        aws, functions, archive = (
            stack.enter_context(running("http_proxy", "--certificate", pem, "--tls-for", url))
            for url in (plain["aws"], plain["lambda"], mast.url)
        )
        yield Office(proxy, aws, functions, archive, plain["aws"], folder / "ca.pem")


def skyfan(
    office: Office, folder: Path, *words: str, user: str = "anna:s%25t@", trust: str = "REQUESTS_CA_BUNDLE"
) -> subprocess.CompletedProcess[str]:
    """Runs a command; only the environment says how to leave this network."""
    variables = {
        "HTTPS_PROXY": office.proxy.replace("//", f"//{user}"),
        "AWS_ENDPOINT_URL": office.aws,
        "AWS_ENDPOINT_URL_LAMBDA": office.functions,
        "SKYFAN_MAST": office.mast,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPATH": SKYFAN,
        **({trust: str(office.certificates)} if trust else {}),
    }
    return subprocess.run(
        [*START, *words],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_run_on_aws_takes_the_proxy_for_all_that_it_sends(office: Office, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(f"s3://stpubdata/hst/public/office/{at:06}_flt.fits" for at in range(20)))
    done = skyfan(office, tmp_path, "run", f"@{listed}", "--engine", "aws", "--run", "office", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"]["done"] == 20
    assert office.connections() >= {office.aws, office.functions}


def test_the_local_engine_reads_a_bucket_through_it(office: Office, tmp_path: Path, demo_data: Path) -> None:
    s3 = boto3.client(
        "s3",
        endpoint_url=office.plain_aws,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    name = "j8bt06nyq_flt.fits"
    s3.put_object(Bucket=RESULTS, Key=f"in/{name}", Body=(demo_data / name).read_bytes())
    s3.close()
    uri = f"s3://{RESULTS}/in/{name}"
    done = skyfan(office, tmp_path, "run", uri, "--access", "signed", "--output", "out", "--run", "near")
    assert done.returncode == 0, done.stderr + done.stdout
    assert (tmp_path / f"out/runs/near/catalogs/{RESULTS}/in/{name}.cat.fits").is_file()


def test_a_plan_asks_mast_and_the_bucket_through_it(office: Office, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", office.mast)
        done = skyfan(office, tmp_path, "plan", "--instrument", "WFC3/IR", trust="SSL_CERT_FILE")
    assert done.returncode == 0, done.stderr
    assert plan.read(tmp_path / "plan.parquet").files == 20
    assert office.mast in office.connections()


COMMANDS = {
    "boto3": ("run", "s3://stpubdata/a_flt.fits", "--engine", "aws"),
    "obstore": ("status", "none", "--output", f"s3://{RESULTS}"),
    "MAST": ("plan", "--instrument", "WFC3/IR"),
}
CLIENTS = ["boto3", "obstore", "MAST"]
each_client = pytest.mark.parametrize("client", CLIENTS)


@each_client
def test_an_untrusted_certificate_names_the_variable(office: Office, tmp_path: Path, client: str) -> None:
    done = skyfan(office, tmp_path, *COMMANDS[client], trust="")
    assert done.returncode in {1, 2}
    assert "REQUESTS_CA_BUNDLE" in done.stderr
    assert "Traceback" not in done.stderr


@each_client
def test_a_proxy_that_refuses_the_user_names_the_variable(
    office: Office, tmp_path: Path, client: str
) -> None:
    done = skyfan(office, tmp_path, *COMMANDS[client], user="anna:wrong@")
    assert done.returncode in {1, 2}
    assert "HTTPS_PROXY" in done.stderr
    assert "wrong" not in done.stderr
    assert "Traceback" not in done.stderr
