"""What the pages say about a family of networks: its name, the search that found its cells, its papers, its licence."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A paper: full names of its authors, the year of its first version, and its arXiv identifier.

    ``key`` is what BibTeX calls it.
    """

    key: str
    authors: tuple[str, ...]
    year: int
    title: str
    arxiv: str

    @property
    def short_authors(self) -> str:
        """The authors with initials: "Q. V. Le", "L.-J. Li"."""
        return ", ".join(map(_with_initials, self.authors))

    @property
    def bibtex(self) -> str:
        """Its entry in a bibliography, without a line feed at the end."""
        return (
            f"@misc{{{self.key},\n"
            f"  title = {{{self.title}}},\n"
            f"  author = {{{' and '.join(self.authors)}}},\n"
            f"  year = {{{self.year}}},\n"
            f"  eprint = {{{self.arxiv}}},\n"
            f"  archivePrefix = {{arXiv}},\n"
            f"  url = {{https://arxiv.org/abs/{self.arxiv}}}\n"
            "}"
        )


@dataclass(frozen=True)
class License:
    """``name`` is its identifier by SPDX, ``address`` that of its text, ``of`` whose it is."""

    name: str
    address: str
    of: str


@dataclass(frozen=True)
class FamilyText:
    """``origin`` is a sentence on what a family shares with an earlier one, with a space before it. ``checkpoints``
    is the address of the page that lists its trained checkpoints, ``license`` that of the repository with this page.
    """

    name: str
    search: str
    origin: str
    papers: tuple[Paper, ...]
    checkpoints: str
    license: License


def _with_initials(name: str) -> str:
    *given, last = name.split()
    initials = [part if part.endswith(".") else "-".join(f"{piece[0]}." for piece in part.split("-")) for part in given]
    return " ".join([*initials, last])


_REPOSITORY = "https://github.com/tensorflow/models/blob/master/"
_SLIM = f"{_REPOSITORY}research/slim/"
_LICENSE = License("Apache-2.0", f"{_REPOSITORY}LICENSE", "the repository that the checkpoints came with")
_NASNET_PAPER = Paper(
    "zoph2017learning",
    ("Barret Zoph", "Vijay Vasudevan", "Jonathon Shlens", "Quoc V. Le"),
    2017,
    "Learning Transferable Architectures for Scalable Image Recognition",
    "1707.07012",
)
#: By the family's name in `exporter.models.cells.FAMILIES`.
FAMILY_TEXTS: Mapping[str, FamilyText] = {
    "nasnet": FamilyText(
        "NASNet-A",
        "Neural Architecture Search (NAS)",
        "",
        (
            Paper(
                "zoph2016neural",
                ("Barret Zoph", "Quoc V. Le"),
                2016,
                "Neural Architecture Search with Reinforcement Learning",
                "1611.01578",
            ),
            _NASNET_PAPER,
        ),
        f"{_SLIM}nets/nasnet/README.md",
        _LICENSE,
    ),
    "pnasnet": FamilyText(
        "PNASNet-5",
        "Progressive Neural Architecture Search",
        " Much of the rest is the same as in NASNet, drop path for example.",
        (
            Paper(
                "liu2017progressive",
                (
                    *("Chenxi Liu", "Barret Zoph", "Maxim Neumann", "Jonathon Shlens", "Wei Hua", "Li-Jia Li"),
                    *("Li Fei-Fei", "Alan Yuille", "Jonathan Huang", "Kevin Murphy"),
                ),
                2017,
                "Progressive Neural Architecture Search",
                "1712.00559",
            ),
            _NASNET_PAPER,
        ),
        f"{_SLIM}README.md#pre-trained-models",
        _LICENSE,
    ),
}
