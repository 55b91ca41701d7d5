"""Tables of a page as files."""

from __future__ import annotations

import csv
import io

import pytest

from analysis import csvs


@pytest.mark.parametrize(
    ("shown", "written"),
    [
        ("–", ""),
        ("1\u202f234.5", "1234.5"),
        ("−3.2", "-3.2"),
        ("+0.4", "0.4"),
        ("12\u202f345", "12345"),
        ("– (failures)", "– (failures)"),
        ("3 (0.1 %)", "3 (0.1 %)"),
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("servers=2", "servers=2"),
    ],
)
def test_a_cell(shown: str, written: str) -> None:
    assert csvs.cell(shown) == written


PAGE = """
<section aria-labelledby="one"><table><thead><tr><th>a<br><small>b</small></th><th>n</th></tr></thead>
<tbody><tr><td> x,
 "y" </td><td>1\u202f000 <svg><rect/></svg></td></tr></tbody></table>
<table data-table="Other  Thing!"><tr><td>&lt;b&gt;</td></tr></table></section>
<script>"<table><tr><td>not one</td></tr></table>"</script>
<section aria-labelledby="one"><table><tr><td>2</td></tr></table><p>out</p></section>
"""


def test_tables_of_a_page() -> None:
    found = csvs.tables(PAGE)
    assert found == {
        "one": [["a b", "n"], ['x, "y"', "1\u202f000"]],
        "other-thing": [["<b>"]],
        "one-2": [["2"]],
    }
    rows = list(csv.reader(io.StringIO(csvs.text(found["one"]))))
    assert rows == [["a b", "n"], ['x, "y"', "1000"]]
