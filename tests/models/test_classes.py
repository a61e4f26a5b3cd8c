"""The names of ImageNet's classes."""

import pytest

from exporter.models.classes import class_names, class_of_wnid, described


def test_classes_are_sorted_by_wnid_after_the_background() -> None:
    names = class_names()
    assert len(names) == 1001
    assert names[0].name == "background"
    wnids = [known.wnid for known in names[1:]]
    assert wnids == sorted(set(wnids))
    assert all(len(wnid) == 9 and wnid[0] == "n" and wnid[1:].isdecimal() for wnid in wnids)
    assert all(class_of_wnid()[wnid] == index for index, wnid in enumerate(wnids, start=1))


def test_no_two_classes_share_a_name() -> None:
    names = [known.name for known in class_names()]
    assert all(name == name.strip() != "" for name in names)
    assert len({name.casefold() for name in names}) == len(names)


@pytest.mark.parametrize(
    ("index", "wnid", "name"),
    [
        (1, "n01440764", "tench"),
        (66, "n01751748", "sea snake"),  # of the first validation image
        (135, "n02012849", "crane (bird)"),
        (282, "n02123045", "tabby"),
        (389, "n02510455", "giant panda"),
        (518, "n03126707", "crane (machine)"),
        (640, "n03710721", "maillot (swimsuit)"),
        (1000, "n15075141", "toilet tissue"),
    ],
)
def test_well_known_classes_are_where_they_belong(index: int, wnid: str, name: str) -> None:
    assert described(index, 1001) == (wnid, name)


def test_classes_of_other_networks_have_numbers_only() -> None:
    assert described(7, 11) == (None, "class 7")
    assert described(0, 1001) == (None, "background")
