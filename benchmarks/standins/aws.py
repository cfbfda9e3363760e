"""AWS in this process: moto's server. Each begins empty, though moto's state is the process's."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from moto.core.config import default_user_config
from moto.moto_api._internal import moto_api_backend
from moto.server import ThreadedMotoServer

_LOOPBACK = "127.0.0.1"


@contextmanager
def moto(host: str = _LOOPBACK) -> Iterator[str]:
    """Serves on a free port of `host`; gives the URL for this machine.

    A Lambda function answers with its event: where a Docker daemon runs, moto would pull an image for it.
    """
    moto_api_backend.reset()
    server = ThreadedMotoServer(ip_address=host, port=0, verbose=False)
    with patch.dict(default_user_config["lambda"], use_docker=False):
        server.start()
        try:
            yield f"http://{_LOOPBACK}:{server.get_host_and_port()[1]}"
        finally:
            server.stop()
