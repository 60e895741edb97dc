"""A picture's format and folder are checked before the work."""

from pathlib import Path

import pytest

from tvcli.errors import UsageError
from tvcli.plots import check_plot_file


def test_a_picture_is_checked_before_the_work(tmp_path: Path) -> None:
    check_plot_file(tmp_path / "a.png")
    for name in ("a.jpg", "a", "no/such/a.png"):
        with pytest.raises(UsageError):
            check_plot_file(tmp_path / name)
