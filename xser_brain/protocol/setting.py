"""Which corpora play which part, and the nine settings of the paper."""

from dataclasses import dataclass

from data_prep.errors import UserError


@dataclass(frozen=True)
class Setting:
    """Which corpora play which part; names as in the registry of ``data_prep``.

    Arguments
    ---------
    source, non_target : tuple of str
        Corpora to train on.
    target : str
        The corpus of the unseen language.

    Raises
    ------
    UserError
        If a corpus plays two parts.

    Example
    -------
    >>> Setting(("iemocap",), ("esd", "cafe"), "emodb").name
    'iemocap_to_emodb'
    """

    source: tuple[str, ...]
    non_target: tuple[str, ...]
    target: str

    def __post_init__(self):
        if not self.source:
            raise UserError("there is no source corpus: pass --source=CORPUS")
        if self.target in self.source:
            raise UserError(
                f"source and target are both {self.target}: zero-shot needs two "
                "languages; pass another --source or --target"
            )
        if self.target in self.non_target:
            raise UserError(
                f"the target {self.target} is among the non-target corpora: it would be "
                "trained on; take it out of --non_target"
            )
        both = [*self.source, *self.non_target]
        twice = sorted({name for name in both if both.count(name) > 1})
        if twice:
            raise UserError(
                f"{', '.join(twice)} is named twice among source and non-target: "
                "name each corpus once"
            )

    @property
    def name(self) -> str:
        """``<source>_to_<target>``."""
        return f"{'+'.join(self.source)}_to_{self.target}"

    def trained_on(self, trains_on: str) -> tuple[str, ...]:
        """The corpora that a system trains on which says ``trains_on`` of itself."""
        return {
            "source": self.source,
            "all": self.source + self.non_target,
            "target": (self.target,),
            "everything": (*self.source, *self.non_target, self.target),
        }[trains_on]

    def corpora(self, trains_on: str) -> tuple[str, ...]:
        """The corpora that such a system needs at all, the target last."""
        others = [name for name in self.trained_on(trains_on) if name != self.target]
        return (*others, self.target)


PAPER_CORPORA = {"EN": "meld", "CN": "esd", "DE": "emodb", "UR": "urdu", "FR": "cafe"}


def _paper_settings() -> dict[str, Setting]:
    """The nine settings of Table 1; the order is the paper's."""
    settings = {}
    for target in ("DE", "FR", "CN"):
        for source in ("EN", "CN", "DE", "FR"):
            if source != target:
                others = [
                    name for name in PAPER_CORPORA if name not in (source, target)
                ]
                settings[f"{source}-{target}"] = Setting(
                    (PAPER_CORPORA[source],),
                    tuple(PAPER_CORPORA[name] for name in others),
                    PAPER_CORPORA[target],
                )
    return settings


PAPER_SETTINGS = _paper_settings()
