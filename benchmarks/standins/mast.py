"""A stand-in for MAST and its bucket: an HTTP server for what astroquery 0.4.11 and S3 clients send.

    python -m standins.mast --observations 122078 --latency 0.05 [--errors 0.05] [--port 0]

    POST /api/v0/invoke                             Mast.Caom.Filtered(.Position), .Products, Mast.Name.Lookup
    POST /portal/Mashup/Mashup.asmx/columnsconfig   the recorded answer inside astroquery
    GET  /api/v0.1/path_lookup/?uri=…&uri=…
    GET  /stpubdata?list-type=2…, HEAD /stpubdata/key   S3, unsigned, path style
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
                web.get("/counts", self._tell),
                web.get(f"/{BUCKET}", self._guard("list", self._list)),
                web.head(f"/{BUCKET}/{{key:.+}}", self._guard("head", self._head)),
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
        self._thread = threading.Thread(target=self._loop.run_forever)
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
        return web.Response(body=recorded.read_bytes(), content_type="application/json")

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
            return self._page(asked, self.sky.products(params["obsid"].split(",")))
        matching = self._match(params)
        if params["columns"] == "COUNT_BIG(*)":
            return self._page(asked, [{"Column1": len(matching)}])
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
        paths = {uri: self.sky.path(uri) for uri in uris}
        return web.json_response(
            {uri: {"status_code": 200 if path else 404, "path": path} for uri, path in paths.items()}
        )

    async def _head(self, request: web.Request) -> web.Response:
        size = self.sky.size(key := request.match_info["key"])
        if size is None:
            return web.Response(status=404)
        if self.sky.is_hidden(key):
            return web.Response(status=403)
        headers = {
            "Content-Length": str(size),
            "ETag": '"0"',
            "Last-Modified": "Sun, 01 Nov 2026 00:00:00 GMT",
        }
        return web.Response(headers=headers)

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        start = max(query.get("start-after", ""), query.get("continuation-token", ""))
        keys, more = self.sky.keys(query.get("prefix", ""), start, int(query.get("max-keys", 1000)))
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
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{items}</ListBucketResult>"
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
