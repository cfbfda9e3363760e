"""Check every link and anchor of the built site: python build/links.py docs/_build/html [--external]

Links within the site must lead to a file, and their anchors to an element of it. With --external the links to
other sites are requested, too; where there is no network that is skipped, with a message.
"""

from __future__ import annotations

import argparse
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

TIMEOUT_S = 20
PROBE = ("github.com", 443)
"""A host that answers wherever there is a network."""
_REFERENCES = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src"}


@dataclass
class Page(HTMLParser):
    """The links of an HTML page, and what they can lead to."""

    links: set[str] = field(default_factory=set)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """HTMLParser calls this."""
        values = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := values.get(name))}
        if link := values.get(_REFERENCES.get(tag, "")):
            self.links.add(link)


def read(folder: Path) -> dict[Path, Page]:
    """All pages of a site. Files of the theme, below _static, are none."""
    pages = {}
    for path in sorted(path for path in folder.rglob("*.html") if "_static" not in path.parts):
        page = pages[path.resolve()] = Page()
        page.feed(path.read_text(encoding="utf-8"))
    return pages


def broken(pages: dict[Path, Page], folder: Path) -> Iterator[str]:
    """Links within the site that lead nowhere, one line each."""
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            if not target.is_file():
                yield f"{path.relative_to(folder.resolve())}: {link}: there is no such file"
            elif anchor and target in pages and anchor not in pages[target].anchors:
                yield f"{path.relative_to(folder.resolve())}: {link}: there is no such anchor"


def external(pages: Iterable[Page]) -> list[str]:
    """Addresses of other sites, without anchors."""
    links = {link.partition("#")[0] for page in pages for link in page.links}
    return sorted(link for link in links if link.startswith(("http://", "https://")))


def unreachable(address: str) -> str:
    """Why an address does not answer; empty if it does."""
    request = urllib.request.Request(address, headers={"User-Agent": "Mozilla/5.0 (link check)"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            return ""
    except (urllib.error.URLError, OSError, ValueError) as error:
        # Sites that refuse programs exist all the same.
        return "" if getattr(error, "code", 0) in {401, 403, 429} else f"{address}: {error}"


def has_network() -> bool:
    """Whether other sites can be reached from here."""
    try:
        socket.create_connection(PROBE, TIMEOUT_S).close()
    except OSError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--external", action="store_true", help="request the links to other sites, too")
    options = parser.parse_args()
    pages = read(options.folder)
    if not pages:
        sys.exit(f"{options.folder} has no page: run make docs")
    problems = list(broken(pages, options.folder))
    addresses = external(pages.values())
    if options.external and not has_network():
        print(f"{len(addresses)} links to other sites are not checked: {PROBE[0]} cannot be reached")
    elif options.external:
        with ThreadPoolExecutor(8) as threads:
            problems += filter(None, threads.map(unreachable, addresses))
    if problems:
        sys.exit("\n".join([*problems, f"{len(problems)} broken links"]))
    print(f"{sum(len(page.links) for page in pages.values()):,} links of {len(pages)} pages lead somewhere")


if __name__ == "__main__":
    main()
