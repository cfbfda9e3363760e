"""The catalog as Parquet, for those whose tools speak it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from skyfan_function.errors import ConfigurationError
from skyfan_function.storage import Source

from .catalog import ChipSummary, Table, columns_for
from .columns import Column
from .event import Request

_KINDS = {"J": ("i4", "int"), "I": ("i2", "short"), "D": ("f8", "double"), "E": ("f4", "float")}
"""Codes of numpy and data types of VOTable."""


def to_parquet(
    table: Table,
    chips: list[ChipSummary],
    request: Request,
    source: Source,
    more: Mapping[str, object] | None = None,
) -> bytes:
    """The FITS catalog's columns, null for NaN.

    Unit, UCD and meaning are each field's metadata; the schema's has them for astropy and as VOTable, and the
    provenance. ``more``: cards of the detection image.

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
    columns = columns_for(chips[0].unit)
    for column in columns:
        values = np.ascontiguousarray(table[column.name], dtype=np.dtype(_KINDS[column.kind][0]))
        array = pa.array(values.ravel(), from_pandas=True)  # null for NaN, as every reader understands
        if column.per_aperture:
            array = pa.FixedSizeListArray.from_arrays(array, values.shape[1])
        arrays.append(array)
        fields.append(
            pa.field(
                column.name,
                array.type,
                metadata={"unit": column.unit, "ucd": column.ucd, "description": column.meaning},
            )
        )
    provenance = {"source": source.uri, "version": source.version, "config": request.config.json()}
    if more:
        provenance |= {"detection": str(more["DETURI"]), "detection_version": str(more["DETVER"])}
    described = _metadata(columns, len(request.config.phot_apertures))
    schema = pa.schema(fields, metadata=provenance | described)
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def _metadata(columns: Sequence[Column], apertures: int) -> dict[str, str]:
    """The columns' description as astropy's reader and as VOTable in Parquet want it."""
    rows, fields = [], []
    for column in columns:
        about = {"unit": column.unit} if column.unit else {}
        rows.append(
            {"name": column.name, "datatype": "string", "description": column.meaning, **about}
            | {"meta": {"ucd": column.ucd}}
        )
        size = {"arraysize": str(apertures)} if column.per_aperture else {}
        if "electron" in column.unit:  # VOUnits does not have it
            about = {}
        attributes = (
            {"name": column.name, "datatype": _KINDS[column.kind][1], "ucd": column.ucd} | size | about
        )
        words = " ".join(f"{key}={quoteattr(value)}" for key, value in attributes.items())
        fields.append(f"<FIELD {words}><DESCRIPTION>{escape(column.meaning)}</DESCRIPTION></FIELD>")
    return {
        "table_meta_yaml": json.dumps({"datatype": rows}),  # JSON is YAML
        "IVOA.VOTable-Parquet.version": "1.0",
        "IVOA.VOTable-Parquet.content": '<?xml version="1.0" encoding="UTF-8"?>'
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>'
        f'<TABLE name="sources">{"".join(fields)}</TABLE></RESOURCE></VOTABLE>',
    }
