import pyarrow as pa
import pytest

from skyfan.catalogs import kinds


@pytest.mark.parametrize(
    ("kind", "ucd", "is_quantity"),
    [
        (pa.float32(), "time.period", True),
        (pa.int32(), "", True),
        (pa.int64(), "meta.id;src", False),
        (pa.string(), "phot.flux", False),
    ],
)
def test_identifiers_and_texts_are_no_quantities(kind: pa.DataType, ucd: str, is_quantity: bool) -> None:
    assert kinds.is_quantity(pa.field("A", kind, metadata={"ucd": ucd})) is is_quantity
