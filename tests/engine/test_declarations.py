"""A C declaration that is not understood is an error."""

from __future__ import annotations

import pytest

from tvcli.engine.native.declarations import declarations


@pytest.mark.parametrize("text", ["void f(strange x);", "struct s { strange x; };", "not c;", "struct s { int; };"])
def test_a_declaration_that_is_not_understood_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"not (?:declared|understood)"):
        declarations(text)
