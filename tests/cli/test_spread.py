"""One option takes all names that the shell expands."""

from tvcli.cli import spread


def test_one_option_takes_what_the_shell_expands() -> None:
    spreaded = ["apply", "v.npy", "--image", "a.png", "--image", "b.png", "-q"]
    assert spread(["apply", "v.npy", "--image", "a.png", "b.png", "-q"]) == spreaded
    assert spread(["apply", "v.npy", "-i", "a.png", "b.png"]) == ["apply", "v.npy", "-i", "a.png", "-i", "b.png"]
    assert spread(["apply", "-", "--image", "-", "--layer", "3"]) == ["apply", "-", "--image", "-", "--layer", "3"]
    assert spread(["apply", "--image", "a", "--", "b"]) == ["apply", "--image", "a", "--", "b"]
