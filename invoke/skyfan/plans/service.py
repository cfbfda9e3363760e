"""MAST's database, asked through astroquery: counts, observations, product lists and names."""

import time
import warnings
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import requests
from astroquery.exceptions import InputWarning, InvalidQueryError
from astroquery.mast import ObservationsClass
from requests.adapters import HTTPAdapter

from ..errors import UsageError
from .limits import RETRIED, Limits, UnansweredError
from .plan import SCHEMA

PAGE = 25_000
"""Rows a page: astroquery's default of 50,000 would hold twice the memory for no fewer seconds."""
OBSERVATIONS = pa.schema(
    [pa.field("obsid", pa.string()), pa.field("dataURL", pa.string())]
    + [
        SCHEMA.field(name)
        for name in SCHEMA.names
        if name not in {"uri", "size", "tier", "dropped", "detail", "dataURI", "product"}
    ]
)
PRODUCTS = pa.schema(
    [
        ("obsid", pa.string()),  # of the observation that was asked for
        ("dataURI", pa.string()),
        ("product", pa.string()),
        ("size", pa.int64()),
        ("dataRights", pa.string()),
    ]
)


class Service:
    """One connection to MAST's database; use one a thread, for astroquery keeps the state of a request in it.

    All methods raise UnansweredError when the service fails for good, UsageError for criteria it does not
    know.
    """

    def __init__(self, limits: Limits) -> None:
        self._mast = ObservationsClass()
        portal = self._mast._portal_api_connection
        # astroquery reads its own setting of the server once, at import, into the class.
        portal.MAST_REQUEST_URL = f"{limits.server}/api/v0/invoke"
        portal.COLUMNS_CONFIG_URL = f"{limits.server}/portal/Mashup/Mashup.asmx/columnsconfig"
        portal.TIMEOUT = 3600
        self._portal = portal
        for scheme in ("http://", "https://"):
            self._mast._session.mount(scheme, _Patient(limits))

    def count(self, **arguments: Any) -> int:
        """How many observations match."""
        with warnings.catch_warnings():
            # A criterion that astroquery cannot use is left out with a warning: the query would be another.
            warnings.simplefilter("error", InputWarning)
            return int(_asked(self._mast.query_criteria_count, **arguments))

    def observations(self, limit: int | None = None, **arguments: Any) -> pa.Table:
        """Observations that match, with OBSERVATIONS' columns; the first `limit` of them."""
        paging = {"pagesize": PAGE} if limit is None else {"pagesize": limit, "page": 1}
        pages = _asked(self._mast.query_criteria_async, **paging, **arguments)
        return pa.concat_tables(_table(pages, OBSERVATIONS))

    def products(self, obsids: list[str], wanted: frozenset[str]) -> tuple[pa.Table, dict[str, list[str]]]:
        """Products of the `wanted` types, with PRODUCTS' columns, and all types that each observation has."""
        answers = _asked(self._mast.get_product_list_async, obsids)
        rows: list[dict[str, Any]] = []
        types: dict[str, set[str]] = {obsid: set() for obsid in obsids}
        asked = set(obsids)
        while answers:
            for row in _rows(answers.pop(0)):
                kind = str(row.get("productSubGroupDescription") or "?").upper()
                parent, own = str(row.get("parent_obsid")), str(row.get("obsID"))
                obsid = parent if parent in asked else own
                types.setdefault(obsid, set()).add(kind)
                if kind in wanted and row.get("dataURI"):
                    rows.append(
                        {
                            "obsid": obsid,
                            "dataURI": row["dataURI"],
                            "product": kind,
                            "size": row.get("size"),
                            "dataRights": row.get("dataRights"),
                        }
                    )
        return pa.Table.from_pylist(rows, PRODUCTS), {obsid: sorted(there) for obsid, there in types.items()}

    def position(self, name: str) -> tuple[float, float]:
        """Right ascension and declination of a named object, in degrees, by MAST's resolver."""
        arguments = {"input": name, "format": "json"}
        (answer,) = _asked(self._portal.service_request_async, "Mast.Name.Lookup", arguments)
        found = answer.json().get("resolvedCoordinate") or []
        if not found:
            raise UsageError(f"--around {name!r} is neither a position, 'RA DEC', nor a name that MAST knows")
        return float(found[0]["ra"]), float(found[0]["decl"])


def _asked(request: Any, *words: Any, **arguments: Any) -> Any:
    try:
        return request(*words, **arguments)
    except (InvalidQueryError, InputWarning) as error:
        raise UsageError(" ".join(str(error).split())) from error
    except (requests.RequestException, TimeoutError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UnansweredError(f"MAST: {_brief(error)}") from error
    except Exception as error:
        if type(error).__module__.startswith("astroquery."):  # RemoteServiceError and its like
            raise UnansweredError(f"MAST: {_brief(error)}") from error
        raise


def _brief(error: BaseException) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _rows(answer: requests.Response) -> list[dict[str, Any]]:
    told = answer.json()
    if told.get("status") != "COMPLETE":
        raise UnansweredError(f"MAST: {told.get('msg') or told.get('status') or 'no answer'}")
    rows: list[dict[str, Any]] = told["data"]
    return rows


def _table(answers: list[requests.Response], schema: pa.Schema) -> Iterable[pa.Table]:
    answers = list(answers)
    while answers:  # a page of JSON weighs ten times what is kept of it
        rows = _rows(answers.pop(0))
        columns = [
            pa.array([_as(field.type, row.get(field.name)) for row in rows], field.type) for field in schema
        ]
        del rows
        yield pa.table(columns, schema=schema)


def _as(kind: pa.DataType, value: Any) -> Any:
    if value is None or value == "":
        return None
    try:
        return (
            str(value) if kind == pa.string() else int(value) if pa.types.is_integer(kind) else float(value)
        )
    except (TypeError, ValueError):
        return None


class _Patient(HTTPAdapter):
    """Gives each request a time-out, which astroquery does not, and tries it again when that can help."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits

    def send(self, *words: Any, **options: Any) -> Any:
        options["timeout"] = (10.0, self._limits.query_seconds)
        for tried in range(1, self._limits.tries + 1):
            try:
                answer = super().send(*words, **options)
                _ = answer.content  # read here, so that a connection that breaks in mid-answer is tried again
                if answer.status_code not in RETRIED or tried == self._limits.tries:
                    return answer
                told = answer.headers.get("Retry-After", "")
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                if tried == self._limits.tries:
                    raise
                told = ""
            time.sleep(self._limits.wait(tried, float(told) if told.isdecimal() else None))
        raise AssertionError("unreachable")


def encode(table: pa.Table) -> str:
    """A table as text, for the cache."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as out:
        out.write_table(table)
    return b64encode(sink.getvalue()).decode()


def decode(text: str) -> pa.Table:
    """The table that encode made a text of."""
    return pa.ipc.open_stream(b64decode(text)).read_all()
