"""A stand-in for MAST and its bucket: an HTTP server for what astroquery 0.4.11 and S3 clients send.

    python -m standins.mast --observations 122078 --latency 0.05 [--errors 0.05] [--port 0]

    POST /api/v0/invoke                             Mast.Caom.Filtered(.Position), .Products, Mast.Name.Lookup
    POST /portal/Mashup/Mashup.asmx/columnsconfig   the recorded answer inside astroquery
    GET  /api/v0.1/path_lookup/?uri=…&uri=…&use_cloud_path=true
    GET  /stpubdata?list-type=2…, HEAD and GET /stpubdata/key   S3, path style
    GET  /api/v0.1/Download/file?uri=…              files in `downloads`
    GET  /counts                                    requests by kind, as JSON

Observations are made by rule from key layouts of the archive; standins.sky says how.
"""

import argparse
import asyncio
import json
import random
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Self
from xml.sax.saxutils import escape

from aiohttp import web
from standins.sky import BUCKET, Sky

OWN_PAGE = 50_000
PAGE = "<!DOCTYPE html><html><head><title>MAST</title></head><body><p>Scheduled maintenance</p></body></html>"
STAMPS = {"ETag": '"0"', "Last-Modified": "Sun, 01 Nov 2026 00:00:00 GMT"}
LEFT_OUT = object()
# MAST has these columns, too: the answer recorded in astroquery 0.4.11 is older. From MAST's list of fields.
NEW_COLUMNS = {
    "provenance_name": {"text": "Provenance Name", "vot.datatype": "char", "separator": ";"},
    "sequence_number": {"text": "Sequence Number", "vot.datatype": "int"},
}


class Mast:
    """The server's state. Change its attributes while it runs; as a context manager it runs in a thread."""

    def __init__(self, sky: Sky, *, latency: float = 0.0, errors: float = 0.0, seed: int = 1) -> None:
        """`latency` in seconds; `errors` is the share answered by 429, 500 or a broken connection."""
        self.sky, self.latency, self.errors = sky, latency, errors
        self.down: set[str] = set()
        """Kinds of requests that always fail: invoke, lookup, head, list."""
        self.poison: set[str] = set()
        """dataURIs that path_lookup fails on, with all that are asked beside them."""
        self.executing = 0
        """Requests to the database that are first told that their query is still executing."""
        self.hangs = 0
        """Requests that are never answered."""
        self.pages: Counter[str] = Counter()
        """Requests, by kind, that get an HTML page with status 200 instead of an answer."""
        self.entries: dict[str, list[Any]] = {}
        """What path_lookup says of a dataURI the next times, before its own answer; LEFT_OUT for nothing."""
        self.count_rows: list[list[dict[str, Any]]] = []
        """Rows of the next answers to a COUNT, before its own."""
        self.orphans = 0
        """Requests for products that get rows with parent_obsid 0."""
        self.objects: dict[str, bytes] = {}
        """Objects in the bucket beside those of the archive, or instead of them, by key."""
        self.downloads: dict[str, bytes] = {}
        """Files that MAST sends itself, by URI."""
        self.private: dict[str, str] = {}
        """Tokens that open files which are not public, by URI."""
        self.sends_ranges = True
        self.breaks = 0
        """Downloads whose connection breaks after half of what was asked for."""
        self.refusal = ""
        """The error code with which S3 refuses all requests for objects."""
        self.counts: Counter[str] = Counter()
        self.asked: list[dict[str, Any]] = []
        """Requests to the database, as they came."""
        self.looked_up: Counter[str] = Counter()
        """How often the place of each dataURI was told."""
        self.most_at_once: Counter[str] = Counter()
        self.url = ""
        self._running: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._matching: dict[str, list[int]] = {}

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 26)
        app.add_routes(
            [
                web.post("/api/v0/invoke", self._guard("invoke", self._invoke)),
                web.post("/portal/Mashup/Mashup.asmx/columnsconfig", self._guard("columns", self._columns)),
                web.get("/api/v0.1/path_lookup/", self._guard("lookup", self._lookup)),
                web.get("/api/v0.1/Download/file", self._guard("download", self._download), allow_head=False),
                web.get("/counts", self._tell),
                web.get(f"/{BUCKET}", self._guard("list", self._list)),
                web.head(f"/{BUCKET}/{{key:.+}}", self._guard("head", self._head)),
                web.get(f"/{BUCKET}/{{key:.+}}", self._guard("get", self._get), allow_head=False),
            ]
        )
        return app

    async def start(self, port: int = 0) -> web.AppRunner:
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._runner = self._loop.run_until_complete(self.start())
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def environment(self) -> dict[str, str]:
        """What makes skyfan, astroquery's S3 client and obstore come here."""
        return {"SKYFAN_MAST": self.url, "AWS_ENDPOINT_URL_S3": self.url}

    def _guard(self, kind: str, answer: Any) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.counts[kind] += 1
            self._running[kind] += 1
            self.most_at_once[kind] = max(self.most_at_once[kind], self._running[kind])
            try:
                if self.latency:
                    await asyncio.sleep(self.latency)
                if self.hangs > 0:
                    self.hangs -= 1
                    await asyncio.sleep(3600)
                if kind in self.down:
                    return web.Response(status=503, text="down")
                if self.pages[kind] > 0:
                    self.pages[kind] -= 1
                    return web.Response(text=PAGE, content_type="text/html")
                if self._random.random() < self.errors:
                    self.counts["errors"] += 1
                    match self._random.randrange(3):
                        case 0:
                            return web.Response(status=429, headers={"Retry-After": "0"})
                        case 1:
                            return web.Response(status=500)
                    if request.transport:
                        request.transport.abort()
                return await answer(request)
            finally:
                self._running[kind] -= 1

        return handle

    async def _tell(self, request: web.Request) -> web.Response:
        return web.json_response({"counts": self.counts, "most_at_once": self.most_at_once})

    async def _columns(self, request: web.Request) -> web.Response:
        import astroquery.mast

        recorded = Path(astroquery.mast.__file__).parent / "tests/data/columnsconfig.json"
        return web.json_response(json.loads(recorded.read_bytes()) | NEW_COLUMNS)

    async def _invoke(self, request: web.Request) -> web.Response:
        asked = json.loads((await request.post())["request"])  # type: ignore[arg-type]
        self.asked.append(asked)
        if self.executing > 0:
            self.executing -= 1
            return web.json_response({"status": "EXECUTING", "msg": "", "data": []})
        service, params = asked["service"], asked["params"]
        if service == "Mast.Name.Lookup":
            return web.json_response({"resolvedCoordinate": self.sky.resolve(params["input"]), "status": ""})
        if service == "Mast.Caom.Products":
            products = self.sky.products(params["obsid"].split(","))
            if self.orphans > 0:
                self.orphans -= 1
                products = [row | {"parent_obsid": 0, "obsID": 1} for row in products]
            return self._page(asked, products)
        matching = self._match(params)
        if params["columns"] == "COUNT_BIG(*)":
            return self._page(
                asked, self.count_rows.pop(0) if self.count_rows else [{"Column1": len(matching)}]
            )
        return self._page(asked, matching, self.sky.observation)

    def _match(self, params: dict[str, Any]) -> list[int]:
        key = json.dumps([params["filters"], params.get("position")], sort_keys=True)
        if key not in self._matching:
            self._matching[key] = self.sky.matching(params["filters"], params.get("position"))
        return self._matching[key]

    @staticmethod
    def _page(asked: dict[str, Any], rows: list[Any], made: Any = lambda row: row) -> web.Response:
        size, page = asked.get("pagesize", OWN_PAGE), asked.get("page", 1)
        shown = [made(row) for row in rows[(page - 1) * size : page * size]]
        types = {str: "string", int: "int", float: "float", type(None): "string"}
        fields = [
            {"name": name, "type": types[type(value)]} for name, value in (shown[0] if shown else {}).items()
        ]
        pages = max(1, -(-len(rows) // size))
        paging = {"page": page, "pageSize": size, "pagesFiltered": pages, "rows": len(shown)}
        paging |= {"rowsFiltered": len(rows), "rowsTotal": len(rows)}
        return web.json_response(
            {"status": "COMPLETE", "msg": "", "data": shown, "fields": fields, "paging": paging}
        )

    async def _lookup(self, request: web.Request) -> web.Response:
        uris = request.query.getall("uri")
        if len(request.raw_path) > 8190:
            return web.Response(status=414)
        if self.poison.intersection(uris):
            return web.Response(status=500)
        self.looked_up.update(uris)
        self.counts["cloud paths"] += request.query.get("use_cloud_path") == "true"
        paths = {uri: self.sky.path(uri) for uri in uris}
        answer: dict[str, Any] = {}
        for uri, path in paths.items():
            entry: Any = {"status_code": 200 if path else 404, "path": path}
            if self.entries.get(uri):
                entry = self.entries[uri].pop(0)
            if entry is not LEFT_OUT:
                answer[uri] = entry
        return web.json_response(answer)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        uri = request.query["uri"]
        if uri not in self.downloads:
            return web.Response(status=404)
        token = self.private.get(uri)
        if token and request.headers.get("Authorization") != f"token {token}":
            return web.Response(status=401)
        content, headers, status = self.downloads[uri], dict(STAMPS), 200
        body = content
        if self.sends_ranges and "Range" in request.headers:
            body, status = content[request.http_range], 206
            start = request.http_range.start or 0
            headers["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{len(content)}"
        headers["Content-Length"] = str(len(body))
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        is_broken = self.breaks > 0 and len(body) > 1
        body = body[: len(body) // 2] if is_broken else body
        self.breaks -= is_broken
        self.counts["download bytes"] += len(body)
        await response.write(body)
        if is_broken and request.transport:
            await asyncio.sleep(0.05)
            request.transport.abort()
        return response

    async def _head(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        if self.refusal:
            return web.Response(status=403)
        size = len(self.objects[key]) if key in self.objects else self.sky.size(key)
        if size is None:
            return web.Response(status=404)
        if key not in self.objects and self.sky.is_hidden(key):
            return web.Response(status=403)
        return web.Response(headers=STAMPS | {"Content-Length": str(size)})

    async def _get(self, request: web.Request) -> web.Response:
        content = self.objects.get(request.match_info["key"])
        if self.refusal or content is None:
            code = self.refusal or "NoSuchKey"
            text = f"<Error><Code>{code}</Code><Message>as S3 says {code}</Message></Error>"
            return web.Response(
                status=403 if self.refusal else 404, text=text, content_type="application/xml"
            )
        part = request.http_range
        self.counts["bytes"] += len(content[part])
        start = part.start or 0
        last = start + len(content[part]) - 1
        headers = STAMPS | {"Content-Range": f"bytes {start}-{last}/{len(content)}"}
        return web.Response(status=206, body=content[part], headers=headers)

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        start = max(query.get("start-after", ""), query.get("continuation-token", ""))
        prefix = query.get("prefix", "")
        keys, more = self.sky.keys(prefix, start, int(query.get("max-keys", 1000)))
        keys = [item for item in keys if item[0] not in self.objects]
        keys += [(key, len(content)) for key, content in sorted(self.objects.items())]
        keys = [(key, size) for key, size in keys if key.startswith(prefix) and key > start]
        folders: set[str] = set()
        if "delimiter" in query:
            below = [(key, key[len(prefix) :].partition("/")) for key, _ in keys]
            folders = {f"{prefix}{folder}/" for _, (folder, slash, _) in below if slash}
            keys = [item for item, (_, (_, slash, _)) in zip(keys, below, strict=True) if not slash]
        common = "".join(
            f"<CommonPrefixes><Prefix>{one}</Prefix></CommonPrefixes>" for one in sorted(folders)
        )
        items = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-01T00:00:00.000Z</LastModified>"
            f'<ETag>"0"</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>'
            for key, size in keys
        )
        token = f"<NextContinuationToken>{escape(keys[-1][0])}</NextContinuationToken>" if more else ""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{BUCKET}</Name><KeyCount>{len(keys)}</KeyCount><MaxKeys>1000</MaxKeys>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{items}{common}"
            "</ListBucketResult>"
        )
        return web.Response(text=body, content_type="application/xml")


async def serve(mast: Mast, port: int) -> None:
    runner = await mast.start(port)
    print(mast.url, flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="standins.mast", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--observations", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds a request")
    parser.add_argument("--errors", type=float, default=0.0, help="share of requests that fail")
    parser.add_argument("--odd", action="store_true", help="with proprietary, missing and doubled files")
    parser.add_argument("--port", type=int, default=0)
    words = parser.parse_args()
    mast = Mast(Sky(words.observations, odd=words.odd), latency=words.latency, errors=words.errors)
    try:
        asyncio.run(serve(mast, words.port))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
