"""Tables whose first letters are those of a binary format."""

import pytest

from kgrec.data.readers.items import read_items
from kgrec.errors import FormatError


@pytest.mark.parametrize("header", ["ORCID,title", "FEA1,title", "ORC,title"])
def test_a_header_is_no_mark_of_a_format(tmp_path, header):
    (tmp_path / "items.csv").write_text(f"{header}\n1,Alien\n2,Heat\n")
    table = read_items(str(tmp_path / "items.csv"), item=header.partition(",")[0])
    assert table.ids.to_list() == ["1", "2"]


@pytest.mark.parametrize(
    ("data", "says"), [(b"ORC\x00\x01\x02", "an ORC"), (b"FEA1\0\0", "Feather")]
)
def test_the_formats_themselves_are_named(tmp_path, data, says):
    (tmp_path / "items.csv").write_bytes(data * 20)
    with pytest.raises(FormatError, match=says):
        read_items(str(tmp_path / "items.csv"))
