"""What all tests share: where real files are, and no way out to the network.

tests/unit      one module at a time; no sockets at all
tests/contract  the promises between parts (template.yaml, events, layouts); loopback only
tests/e2e       the commands as a user runs them; loopback only
"""

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
REPO = TESTS.parent


def pytest_configure() -> None:
    """Take away what could lead a test to somebody's AWS account."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Block sockets by folder. This guards Python's sockets; obstore has its own, in Rust."""
    for item in items:
        if item.path.is_relative_to(TESTS / "unit"):
            item.add_marker(pytest.mark.disable_socket)
        else:
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1", "::1", "localhost"]))


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
