"""How requests leave this machine: through which proxy, and which certificates are trusted.

The same rules for every client, whatever library it uses:

    HTTPS_PROXY, HTTP_PROXY   the proxy for URLs of this scheme, in upper or lower case
    NO_PROXY                  hosts, domains and host:port to reach directly
    AWS_CA_BUNDLE             certificates to trust for AWS; else ca_bundle of the AWS profile
    REQUESTS_CA_BUNDLE        else these, for AWS and MAST
    SSL_CERT_FILE             else these, for AWS and MAST
"""

import os
import re
import ssl
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from .errors import UsageError

if TYPE_CHECKING:
    from obstore.store import ClientConfig

MAST = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
AWS = ("AWS_CA_BUNDLE", *MAST)
_PORTS = {"http": 80, "https": 443}
UNTRUSTED = (
    "its certificate is not trusted: if your network inspects TLS, set REQUESTS_CA_BUNDLE "
    "(or AWS_CA_BUNDLE, for AWS alone) to a PEM file with its certificates"
)
_UNTRUSTED = re.compile("CERTIFICATE_VERIFY_FAILED|InvalidCertificate")
_UNKNOWN_USER = re.compile(r"ProxyAuthRequired|Tunnel connection failed: 407|\b407\b.*Proxy")


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy."""

    scheme: str
    """http or https: how to speak to the proxy itself."""
    host: str
    port: int
    user: str
    """user:password with the escapes of a URL, empty without."""
    variable: str
    """The environment variable that names it."""

    @property
    def url(self) -> str:
        """Its URL, password included."""
        return f"{self.scheme}://{f'{self.user}@' if self.user else ''}{authority(self.host, self.port)}"

    @property
    def authorization(self) -> str:
        """The value of Proxy-Authorization, empty without a user."""
        return f"Basic {b64encode(unquote(self.user).encode()).decode()}" if self.user else ""

    def __str__(self) -> str:
        """For messages: no password, but where it is set."""
        return f"the proxy {self.scheme}://{authority(self.host, self.port)} ({self.variable})"


def authority(host: str, port: int) -> str:
    """host:port, with the brackets that an IPv6 address needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def proxy(url: str) -> Proxy | None:
    """The proxy for requests to a URL; None if it is reached directly.

    Raises UsageError for a proxy that is not HTTP, and for ALL_PROXY alone: it would serve S3 and not Lambda.
    """
    parts, proxies = urlsplit(url), getproxies()
    variable, text = f"{parts.scheme.upper()}_PROXY", proxies.get(parts.scheme, "")
    if not (text or proxies.get("all")) or proxy_bypass(parts.netloc):
        return None
    if not text:
        raise UsageError(
            f"ALL_PROXY is set but {variable} is not, and AWS's client reads only that: set both"
        )
    found = urlsplit(text if "://" in text else f"http://{text.lstrip('/')}")
    user, _, place = found.netloc.rpartition("@")
    try:
        port = found.port or _PORTS.get(found.scheme)
    except ValueError:
        port = None
    if found.scheme not in _PORTS or not port or not found.hostname:
        raise UsageError(
            f"{variable} names {found.scheme}://{place}, which is no HTTP proxy: give http://host:port"
        )
    return Proxy(found.scheme, found.hostname, port, user, variable)


def bundle(variables: tuple[str, ...], profile: str | None = None) -> Path | None:
    """The PEM file of certificates to trust, None for the usual ones. Raises UsageError if there is no file.

    `variables` are AWS or MAST; `profile` is ca_bundle of the AWS profile.
    """
    named = {name: os.environ.get(name) for name in variables}
    if profile and not named["AWS_CA_BUNDLE"]:
        named = {"ca_bundle of the AWS profile": profile, **named}
    for name, text in named.items():
        if text:
            path = Path(text).expanduser().absolute()
            if not path.is_file():
                raise UsageError(f"{name} names {text}, which is no file: give a PEM file of certificates")
            return path
    return None


def tls(path: Path) -> ssl.SSLContext:
    """A context that trusts the certificates of a PEM file. Raises UsageError if it has none."""
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        raise UsageError(f"{path} has no certificates in PEM form: {error}") from error


def storage_options(url: str, certificates: Path | None) -> "ClientConfig":
    """Client options of obstore for a store at a URL. Raises UsageError."""
    options: ClientConfig = {"allow_http": url.startswith("http://")}
    if chosen := proxy(url):
        options["proxy_url"] = chosen.url
    elif getproxies():  # else obstore would read NO_PROXY by rules of its own
        options |= {"proxy_url": "http://localhost", "proxy_excludes": urlsplit(url).hostname or ""}
    if certificates:
        tls(certificates)  # a better error than obstore's
        options["root_certificate"] = certificates.read_bytes()
    return options


def advice(text: str) -> str:
    """What is wrong and what to do, if an error's text blames a certificate or the proxy; else empty."""
    if _UNTRUSTED.search(text):
        return UNTRUSTED
    if _UNKNOWN_USER.search(text):
        return "the proxy wants a user and a password: set HTTPS_PROXY to http://USER:PASSWORD@HOST:PORT"
    return ""
