"""The labels of a run as a value: which emotions there are, and what counts as which."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from data_prep.errors import UserError
from data_prep.manifest import Row
from data_prep.vocabulary import EMOTIONS, LABEL_SETS, WIDE
from xser_brain.checks import text

MOST_LABELS = 64
# As columns of tables, in pages and in pictures; "unsure" is an answer of its own.
is_label = text(r"(?!unsure$)[^\W_][\w .,+/()-]{0,49}")


@dataclass(frozen=True)
class LabelSet:
    """The classes of a run, in their order.

    Arguments
    ---------
    name : str
        As it stands in run.json and tables.
    members : mapping of str to tuple of str
        Label to the labels of ``data_prep.vocabulary.WIDE`` that count as it.

    Raises
    ------
    UserError
        If there are fewer than two labels or more than 64, a name cannot be one, or a
        member is unknown or there twice.

    Example
    -------
    >>> LabelSet.of(["happy", "sad"]).name
    'happy+sad'
    >>> LabelSet.of({"good": ["happy"], "bad": ["sad", "angry"]}).names
    ('good', 'bad')
    """

    name: str
    members: Mapping[str, tuple[str, ...]]

    def __post_init__(self):
        if len(self.members) < 2:
            raise UserError(
                f"labels: {self.name} has fewer than two labels: name more, or use one of "
                f"{', '.join(LABEL_SETS)}"
            )
        if len(self.members) > MOST_LABELS:
            raise UserError(f"labels: {len(self.members)} are more than {MOST_LABELS}")
        for label in self.members:
            if not is_label(label):
                raise UserError(
                    f"labels: {label!r} cannot be a label: begin with a letter or a digit, "
                    "go on with these, spaces or .,+/()-_, 50 in all, and not 'unsure'"
                )
        wide = [label for members in self.members.values() for label in members]
        for label in wide:
            if label not in WIDE:
                raise UserError(
                    f"labels: unknown label {label!r}: use a label set "
                    f"({', '.join(LABEL_SETS)}) or labels of {', '.join(WIDE)}"
                )
            if wide.count(label) > 1:
                raise UserError(f"labels: {label} is named twice: name it once")

    @classmethod
    def of(cls, value: object) -> "LabelSet":
        """Read what a recipe says below ``labels``.

        Arguments
        ---------
        value : LabelSet, str, sequence or mapping
            The name of a set of ``data_prep.vocabulary.LABEL_SETS``, labels of the wide
            vocabulary (``[happy, sad]`` or ``happy,sad``), or labels of one's own and what
            counts as each.

        Returns
        -------
        LabelSet

        Raises
        ------
        UserError
            If that is not a label set.
        """
        if isinstance(value, LabelSet):
            return value
        if isinstance(value, str) and value in LABEL_SETS:
            return cls(value, LABEL_SETS[value])
        if isinstance(value, Mapping):
            members = {
                str(label): (own,) if isinstance(own, str) else tuple(own or ())
                for label, own in value.items()
            }
            return cls("+".join(members), members)
        if isinstance(value, str) and "," not in value:
            near = difflib.get_close_matches(value, LABEL_SETS, n=1)
            hint = (
                f"did you mean {near[0]}?" if near else "list labels, as [happy, sad]"
            )
            raise UserError(
                f"labels: unknown label set {value!r} (there are "
                f"{', '.join(LABEL_SETS)}): {hint}"
            )
        names = value.split(",") if isinstance(value, str) else value
        if not isinstance(names, Sequence):
            raise UserError(f"labels is {value!r}: name a label set or list labels")
        names = [str(name).strip() for name in names]
        if len(set(names)) < len(names):
            raise UserError(f"labels: {', '.join(names)} names a label twice")
        members = {name: (name,) for name in names}
        known = (name for name, own in LABEL_SETS.items() if own == members)
        return cls(next(known, "+".join(names)), members)

    @property
    def names(self) -> tuple[str, ...]:
        """The labels, in the order of the classes."""
        return tuple(self.members)

    def labelled(self, rows: Iterable[Row]) -> list[Row]:
        """The utterances that have a label, with it as their ``emotion``.

        The wide label decides; where it is not in the set, what the corpus counts it as
        (IEMOCAP: excitement as happy).

        Arguments
        ---------
        rows : iterable of Row
            Of a manifest; they are not changed.

        Returns
        -------
        list of Row
        """
        home = {wide: label for label, own in self.members.items() for wide in own}
        found = []
        for row in rows:
            label = home.get(row.category) or home.get(row.emotion)
            if label:
                found.append(
                    row if label == row.emotion else replace(row, emotion=label)
                )
        return found


PAPER_LABELS = LabelSet.of(EMOTIONS)


@dataclass(frozen=True)
class Labels:
    """What the indices in a training batch stand for.

    Arguments
    ---------
    emotions, languages, speakers, corpora, genders : tuple of str
        Names in the order of their indices; of what is not known there is no name, and
        its index is -1.
    units : tuple of str
        Those of what is said, where an objective asks for them; see
        ``xser_brain.data.units``.
    """

    emotions: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()
    genders: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: Sequence[Row], emotions: Sequence[str]) -> "Labels":
        """What there is in training utterances."""

        def names(attribute: str) -> tuple[str, ...]:
            found = {getattr(row, attribute) for row in rows}
            return tuple(sorted(found - {""}))

        return cls(
            tuple(emotions),
            names("language"),
            names("speaker"),
            names("corpus"),
            names("gender"),
        )
