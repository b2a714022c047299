"""What a merge saves."""

from __future__ import annotations

from conftest import tiny_text
from models import model, quiet_concat, retrained

from darkshare.savings import saved


def test_savings_add_up():
    base = model(tiny_text(2))
    pair = base, retrained(base, tiny_text(1), "text", 4)
    rows = {row[""]: row for row in saved(pair, quiet_concat(pair, 4))}
    assert rows["layers"]["separately"] == 26
    assert rows["layers"]["merged"] == 13 + 1 + 9
    trunk = pair[0].network.start(4)
    assert rows["params"]["saved"] == trunk
    assert rows["file bytes"]["saved"] == 4 * trunk + 20
