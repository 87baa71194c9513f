import pytest

from tests.cli.program import TINY, i2i, make_pairs, picture


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    return make_pairs(tmp_path_factory.mktemp("data") / "pairs")


@pytest.fixture(scope="session")
def sides(tmp_path_factory):
    """Two folders of images that are no pairs, with a space in their names."""
    folder = tmp_path_factory.mktemp("sides")
    for side, count in (("my photos", 11), ("my paintings", 12)):
        for i in range(count):
            picture(folder / side / f"{side}{i}.png", count * 50 + i)
    return folder / "my photos", folder / "my paintings"


@pytest.fixture(scope="session")
def trained(pairs, tmp_path_factory):
    """(folder of a finished run, what was printed)."""
    folder = tmp_path_factory.mktemp("runs") / "my run"
    return folder, *i2i("train", "pix2pix", "--data", pairs, "--images", 8, "--out", folder, *TINY)
