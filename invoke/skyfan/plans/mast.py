"""MAST's database through astroquery: observations and their number, product lists, positions of names."""

import time
import warnings
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeVar

import pyarrow as pa

from skyfan_contract import products

from .. import extras, network
from ..concurrency import retry_after
from ..errors import UsageError
from .limits import RETRIABLE, ArchiveLimits, NoAnswerError, UnansweredError, excerpt
from .plan import SCHEMA

with extras.needed("mast"):
    import requests
    from astroquery.exceptions import InputWarning, InvalidQueryError
    from astroquery.mast import ObservationsClass
    from requests.adapters import HTTPAdapter

T = TypeVar("T")

PAGE = 25_000
"""Rows per page. astroquery's default of 50,000 takes twice the memory and is no faster."""
OBSERVATIONS = pa.schema(
    [pa.field("dataURL", pa.string())]
    + [
        SCHEMA.field(name)
        for name in SCHEMA.names
        if name not in {"uri", "size", "tier", "dropped", "detail", "dataURI", "product", "pixels"}
    ]
)
PRODUCTS = pa.schema(
    [
        ("obsid", pa.string()),  # of the observation in the request
        ("dataURI", pa.string()),
        ("product", pa.string()),
        ("size", pa.int64()),
        ("dataRights", pa.string()),
        ("provenance_name", pa.string()),
    ]
)
_NUMERIC = frozenset({"double", "float", "numeric"})
_INTEGER = frozenset({"int", "long", "short", "integer"})


class MastClient:
    """A client of MAST's database for one thread, because astroquery keeps the state of a request in it.

    All methods raise UnansweredError if the service fails or answers nothing in spite of all retries,
    UsageError for criteria that it does not know.
    """

    def __init__(self, limits: ArchiveLimits) -> None:
        self._limits = limits
        self._mast = ObservationsClass()
        self._portal = self._mast._portal_api_connection
        # astroquery copies its setting of the server into the class when it is imported: too early for us.
        self._portal.MAST_REQUEST_URL = f"{limits.server}/api/v0/invoke"
        self._portal.COLUMNS_CONFIG_URL = f"{limits.server}/portal/Mashup/Mashup.asmx/columnsconfig"
        self._portal.TIMEOUT = 3600
        for scheme in ("http://", "https://"):
            self._mast._session.mount(scheme, _RetryingAdapter(limits))

    def count(self, **arguments: Any) -> int:
        """Number of observations that match."""

        def count() -> int:
            (response,) = self._filtered("COUNT_BIG(*)", {}, arguments)
            rows = _rows(response)
            stated = next(iter(rows[0].values()), None) if rows else "no row"
            number: int | None = _converter(pa.int64())(stated)
            if number is None:
                raise NoAnswerError(f"MAST: the number of observations is {stated!r}")
            return number

        return self._answer(count)

    def observations(self, limit: int | None = None, **arguments: Any) -> pa.Table:
        """Observations that match, with the columns of OBSERVATIONS; at most `limit` of them."""
        paging = {"pagesize": PAGE} if limit is None else {"pagesize": limit, "page": 1}
        return self._answer(
            lambda: pa.concat_tables(_tables(self._filtered("*", paging, arguments), OBSERVATIONS))
        )

    def products(
        self, obsids: list[str], product_types: frozenset[str]
    ) -> tuple[pa.Table, dict[str, list[str]]]:
        """Products of these types, with the columns of PRODUCTS; and all product types by obsid."""
        return self._answer(lambda: self._products(obsids, product_types))

    def _products(
        self, obsids: list[str], product_types: frozenset[str]
    ) -> tuple[pa.Table, dict[str, list[str]]]:
        pages = _call(self._mast.get_product_list_async, obsids)
        rows: list[dict[str, Any]] = []
        types: dict[str, set[str]] = {obsid: set() for obsid in obsids}
        requested = set(obsids)
        while pages:
            for row in _rows(pages.pop(0)):
                uri = row.get("dataURI")
                product_type = str(
                    row.get("productSubGroupDescription") or products.product_type(uri) or "?"
                ).upper()
                parent, own = str(row.get("parent_obsid")), str(row.get("obsID"))
                obsid = parent if parent in requested else own
                if obsid not in requested:
                    raise NoAnswerError(
                        f"MAST: {uri} is of no observation in the request: parent_obsid is {parent}"
                    )
                types[obsid].add(product_type)
                if product_type in product_types:
                    provenance = row.get("provenance_name") or row.get("project")
                    rights, size = row.get("dataRights"), row.get("size")
                    values = (obsid, uri, product_type, size, rights, provenance)
                    rows.append(
                        {
                            field.name: _converter(field.type)(value)
                            for field, value in zip(PRODUCTS, values, strict=True)
                        }
                    )
        return pa.Table.from_pylist(rows, PRODUCTS), {obsid: sorted(names) for obsid, names in types.items()}

    def position(self, name: str) -> tuple[float, float]:
        """Right ascension and declination in degrees of a named object, from MAST's resolver."""
        arguments = {"input": name, "format": "json"}

        def resolve() -> tuple[float, float]:
            (response,) = _call(self._portal.service_request_async, "Mast.Name.Lookup", arguments)
            document = response.json()
            if not isinstance(document, dict) or "resolvedCoordinate" not in document:
                raise NoAnswerError(f"MAST: no position of {name!r} but {excerpt(response.text)!r}")
            if not (coordinates := document["resolvedCoordinate"]):
                raise UsageError(
                    f"--around {name!r} is neither a position, 'RA DEC', nor a name that MAST knows"
                )
            return float(coordinates[0]["ra"]), float(coordinates[0]["decl"])

        found: tuple[float, float] = self._answer(lambda: _call(resolve))
        return found

    def _filtered(
        self, columns: str, paging: dict[str, int], arguments: dict[str, Any]
    ) -> list[requests.Response]:
        """Pages of the observations that match: these `columns`, * or COUNT_BIG(*)."""
        is_cone = "coordinates" in arguments
        service = self._mast._caom_filtered_position if is_cone else self._mast._caom_filtered
        self._check_columns(service, arguments)
        with warnings.catch_warnings():
            # astroquery only warns of a criterion that it ignores, and ignoring it changes the query.
            warnings.simplefilter("error", InputWarning)
            position, filters = _call(self._mast._parse_caom_criteria, **arguments)
        params = {"columns": columns, "filters": filters} | ({"position": position} if position else {})
        pages: list[requests.Response] = _call(self._portal.service_request_async, service, params, **paging)
        return pages

    def _check_columns(self, service: str, arguments: dict[str, Any]) -> None:
        """Lets columns of integers take a range, which astroquery would send as two words."""
        columns = self._portal._column_configs
        if service not in columns:
            _call(self._portal._get_col_config, service, fetch_name=self._mast._caom_cone)
        if not isinstance(columns[service], dict) or "obs_collection" not in columns[service]:
            answer = excerpt(str(columns.pop(service)))
            raise NoAnswerError(f"MAST: no list of columns but {answer!r}")
        for name, values in arguments.items():
            column = next((c for key, c in columns[service].items() if key.lower() == name.lower()), None)
            if column is None:  # the position; astroquery refuses other names
                continue
            kind = column.get("vot.datatype", column.get("type"))
            is_range = isinstance(values[0], float)
            if is_range and kind not in _NUMERIC | _INTEGER and not column.get("treatNumeric"):
                raise UsageError(f"{name} is a column of words: it takes a word or a list, not MIN..MAX")
            if kind in _INTEGER:
                column["treatNumeric"] = is_range

    def _answer(self, request: Callable[[], T]) -> T:
        """The answer to a request, which is repeated while a response answers nothing."""
        for delay in self._limits.delays():
            try:
                return request()
            except NoAnswerError:
                if delay is None:
                    raise
                time.sleep(delay)
        raise AssertionError("unreachable")


class _RetryingAdapter(HTTPAdapter):
    """Adds a time-out to each request, which astroquery does not, and retries if that can help."""

    def __init__(self, limits: ArchiveLimits) -> None:
        super().__init__()
        self._limits, self._certificates = limits, network.bundle(network.MAST)

    def send(self, *args: Any, **options: Any) -> Any:
        options["timeout"] = (10.0, self._limits.query_seconds)
        if self._certificates:
            options["verify"] = str(self._certificates)
        for delay in self._limits.delays():
            wait = 0.0
            try:
                response = super().send(*args, **options)
                _ = response.content  # read here, so that a connection that breaks in the body is retried
                if response.status_code not in RETRIABLE or delay is None:
                    return response
                wait = retry_after(response.headers.get("Retry-After"), self._limits.longest_delay)
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ) as error:
                if delay is None or network.advice(str(error)):
                    raise
            time.sleep(wait + delay)
        raise AssertionError("unreachable")


def encode(table: pa.Table) -> str:
    """A table as a string, for the cache."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as out:
        out.write_table(table)
    return b64encode(sink.getvalue()).decode()


def decode(text: str) -> pa.Table:
    """The inverse of encode()."""
    return pa.ipc.open_stream(b64decode(text)).read_all()


def _call(method: Any, *args: Any, **arguments: Any) -> Any:
    """Calls a method of astroquery and translates its errors."""
    try:
        return method(*args, **arguments)
    except (InvalidQueryError, InputWarning) as error:
        raise UsageError(" ".join(str(error).split())) from error
    except requests.exceptions.JSONDecodeError as error:
        raise NoAnswerError(f"MAST: not JSON but {excerpt(error.doc)!r}") from error
    except (requests.RequestException, TimeoutError) as error:
        raise UnansweredError(f"MAST: {_summary(error)}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NoAnswerError(f"MAST: a response of another form: {_summary(error)}") from error
    except Exception as error:
        if type(error).__module__.startswith("astroquery."):  # RemoteServiceError and others
            raise UnansweredError(f"MAST: {_summary(error)}") from error
        raise


def _summary(error: BaseException) -> str:
    if advice := network.advice(str(error)):
        return advice
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _rows(page: requests.Response) -> list[dict[str, Any]]:
    document = page.json()
    is_object = isinstance(document, dict)
    rows: list[dict[str, Any]] | None = document.get("data") if is_object else None
    if is_object and document.get("status") not in {"COMPLETE", None, ""}:
        raise NoAnswerError(f"MAST: {document.get('msg') or document['status']}")
    if not is_object or document.get("status") != "COMPLETE" or not isinstance(rows, list):
        raise NoAnswerError(f"MAST: no rows but {excerpt(page.text)!r}")
    return rows


def _tables(pages: list[requests.Response], schema: pa.Schema) -> Iterator[pa.Table]:
    pages = list(pages)
    while pages:  # drops each page before the next: as JSON it takes ten times the memory of its table
        rows = _rows(pages.pop(0))
        columns = [_column(rows, field) for field in schema]
        del rows
        yield pa.table(columns, schema=schema)


def _column(rows: list[dict[str, Any]], field: pa.Field) -> pa.Array:
    name, convert = field.name, _converter(field.type)
    return pa.array([convert(row.get(name)) for row in rows], field.type)


@cache
def _converter(kind: pa.DataType) -> Callable[[Any], Any]:
    """A function from MAST's value to that of a column of this type; None if it is missing or invalid."""
    if kind == pa.string():
        return lambda value: None if value is None or value == "" else str(value)
    bits = kind.bit_width if pa.types.is_integer(kind) else 0

    def number(value: Any) -> float | None:
        if value is None:
            return None
        try:
            if not bits:
                return float(value)
            whole = int(value)
        except (TypeError, ValueError, OverflowError):
            return None
        return whole if whole.bit_length() < bits else None

    return number
