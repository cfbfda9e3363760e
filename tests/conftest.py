"""Shared by all tests: the folders of real files, and no access to the network.

tests/unit      one module each; no sockets
tests/contract  whether the parts fit (template.yaml, events, layouts); loopback only
tests/process   processes and clocks; loopback only
tests/e2e       commands as a user runs them; loopback only
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).parent
REPO = TESTS.parent
# Those of skyfan.network, which is not there when the science tests run in Lambda's image.
_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


def pytest_configure() -> None:
    """Take away what could lead a test to somebody's AWS account, or a request of this machine to a proxy."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy") or name in _CERTIFICATES:
            del os.environ[name]
    # How busy the machine is decides no test.
    settings.register_profile("skyfan", settings.default, deadline=None)
    settings.load_profile("skyfan")
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Block sockets by folder. This guards Python's sockets; obstore has its own, in Rust."""
    for item in items:
        if item.path.is_relative_to(TESTS / "unit"):
            item.add_marker(pytest.mark.disable_socket)
        else:
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1", "::1", "localhost"]))


@pytest.fixture(scope="module", autouse=True)
def _no_child_is_kept() -> Iterator[None]:
    """The process that detects sources stays for the next image, and would be a leak to tests that count."""
    yield
    if (ladder := sys.modules.get("sep_extract.ladder")) is not None:
        while ladder._children:
            ladder._children.popitem()[1].close()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of whole real files that do not ship with the repository; the test skips where there is none."""
    folder = Path(os.environ.get("SKYFAN_SHARED_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("whole real files are not here; SKYFAN_SHARED_DATA names no folder that holds them")
    return folder


@pytest.fixture(scope="session")
def demo_data() -> Path:
    """Folder of real Hubble cut-outs that ship with skyfan; tests/data/README.md says what each is."""
    return TESTS / "data" / "demo"
