"""The catalog as Parquet, for those whose tools speak it."""

from __future__ import annotations

import io

import numpy as np

from .catalog import Plane, Table, columns_for
from .errors import ConfigurationError
from .event import Request
from .storage import Source


def to_parquet(table: Table, planes: list[Plane], request: Request, source: Source) -> bytes:
    """The FITS catalog's columns; unit, UCD and meaning are each field's metadata, provenance the schema's.

    Raises ConfigurationError where pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as exc:
        raise ConfigurationError(
            "the output 'parquet' needs pyarrow, which this function does not have: "
            "add it to the function's packages, or leave 'parquet' out"
        ) from exc
    fields, arrays = [], []
    for column in columns_for(planes[0].unit):
        values = np.ascontiguousarray(
            table[column.name], dtype=np.dtype({"J": "i4", "I": "i2", "D": "f8", "E": "f4"}[column.kind])
        )
        if column.per_aperture:
            array = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        else:
            array = pa.array(values)
        arrays.append(array)
        fields.append(
            pa.field(
                column.name,
                array.type,
                metadata={"unit": column.unit, "ucd": column.ucd, "description": column.meaning},
            )
        )
    schema = pa.schema(
        fields, metadata={"source": source.uri, "version": source.version, "config": request.config.json()}
    )
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()
