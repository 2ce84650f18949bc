"""Splits, fixed by identifiers.

No random number is drawn: the same utterances always fall into the same parts, and a
damaged file that is rejected later moves no other.

``paper`` rebuilds Table 1 of the paper; what it does not state (which speakers are
held out) is declared in each corpus' file by one of the functions below.
``speaker`` serves any corpus with known speakers: about 80 / 10 / 10 percent, whole
speakers. ``official`` takes the corpus' own parts, and ``none`` makes none: all is train,
or, in a target corpus, all is tested on.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from itertools import chain, combinations

from data_prep.corpus import Corpus, PaperSplit, Utterance
from data_prep.errors import UserError
from data_prep.manifest import SPLITS

POLICIES = ("paper", "speaker", "official", "none")
Assignment = dict[str, str]
HELD_OUT = 0.1  # of the utterances, for each of valid and test
MOST = 3  # times as much may be held out, to have all emotions in a part


def official(utterances: Sequence[Utterance]) -> Assignment:
    """Take the corpus' own parts: ``split`` of each utterance by its ID."""
    return {utterance.id: utterance.split for utterance in utterances}


def hold_out(
    valid: Collection[str], test: Collection[str]
) -> Callable[[Sequence[Utterance]], Assignment]:
    """A split that holds named speakers out; all others train.

    Example
    -------
    >>> hold_out(["11"], ["12"])([Utterance("a", "a.wav", "12", "joy")])
    {'a': 'test'}
    """

    def assign(utterances: Sequence[Utterance]) -> Assignment:
        parts = {**dict.fromkeys(valid, "valid"), **dict.fromkeys(test, "test")}
        return {item.id: parts.get(item.speaker, "train") for item in utterances}

    return assign


def halve(speakers: Collection[str]) -> Callable[[Sequence[Utterance]], Assignment]:
    """A split that shares the utterances of named speakers between valid and test.

    Per emotion, in the order of their ids: the first half (rounded down) is valid,
    the rest test. All other speakers train.

    Example
    -------
    >>> assign = halve(["15"])
    >>> assign([Utterance(name, name, "15", "W") for name in "abc"])
    {'a': 'valid', 'b': 'test', 'c': 'test'}
    """

    def assign(utterances: Sequence[Utterance]) -> Assignment:
        result = {item.id: "train" for item in utterances}
        cells = defaultdict(list)
        for item in utterances:
            if item.speaker in speakers:
                cells[item.emotion].append(item.id)
        for ids in cells.values():
            ids.sort()
            half = len(ids) // 2
            result.update(dict.fromkeys(ids[:half], "valid"))
            result.update(dict.fromkeys(ids[half:], "test"))
        return result

    return assign


def search(
    valid: int, test: int, held_out: int
) -> Callable[[Sequence[Utterance]], Assignment]:
    """Find speakers whose utterances add up to the wanted counts.

    Goes through the speakers from the last identifier to the first, with as few
    speakers in test as possible, and takes the first choice in which valid and test
    hold every emotion.

    Arguments
    ---------
    valid, test : int
        Utterances wanted in either part.
    held_out : int
        Speakers in valid and test together.

    Returns
    -------
    callable
        From utterances to an assignment; raises UserError if there is no such split.
    """

    def assign(utterances: Sequence[Utterance]) -> Assignment:
        cells = defaultdict(Counter)
        for item in utterances:
            cells[item.speaker][item.emotion] += 1
        emotions = {item.emotion for item in utterances}
        sizes = {name: cell.total() for name, cell in cells.items()}

        def choices(speakers: list[str], n: int, total: int):
            able = [name for name in speakers if sizes[name] <= total]
            for chosen in combinations(able, n):
                if sum(map(sizes.__getitem__, chosen)) == total and emotions == set(
                    chain.from_iterable(cells[name] for name in chosen)
                ):
                    yield chosen

        order = sorted(cells, reverse=True)
        for n in range(1, held_out):
            for for_test in choices(order, n, test):
                rest = [name for name in order if name not in for_test]
                for for_valid in choices(rest, held_out - n, valid):
                    return hold_out(for_valid, for_test)(utterances)
        raise UserError(
            f"no {held_out} speakers hold {valid} + {test} utterances as in the paper: "
            "the corpus is not the whole one; use --splits=speaker"
        )

    return assign


def by_speaker(utterances: Sequence[Utterance], corpus: Corpus) -> Assignment:
    """Split any corpus about 80 / 10 / 10 by whole speakers.

    From the last identifier to the first, a speaker joins test (then valid) while
    that brings the part nearer to a tenth of the four-class utterances, or adds an
    emotion that the part lacks. Where the few small speakers all joined test, valid
    gets every other one of them; where nobody fits, the one with the fewest utterances
    joins. With two speakers one trains and the other is halved; with one, or none
    known, all is train. Utterances of unknown speakers always train.

    The corpus says which labels are of the four emotions, and what to keep whole.
    """

    def group(item: Utterance) -> str:
        return item.session if corpus.split_by == "session" else item.speaker

    cells: dict[str, Counter] = defaultdict(Counter)
    for item in utterances:
        if group(item):
            emotion = corpus.emotion(item.emotion)
            cells[group(item)].update([emotion] if emotion else [])
    left = sorted((name for name in cells if cells[name]), reverse=True)
    if len(left) < 3:
        return halve({i.speaker for i in utterances if group(i) in left[:-1]})(
            utterances
        )
    test = _choose(left, cells)[: len(left) - 2] or [_smallest(left, cells)]
    rest = [name for name in left if name not in test]
    valid = _choose(rest, cells)[: len(rest) - 1]
    if not valid and len(test) > 1:
        test, valid = test[::2], test[1::2]
    parts = dict.fromkeys(test, "test")
    parts.update(dict.fromkeys(valid or [_smallest(rest, cells)], "valid"))
    return {item.id: parts.get(group(item), "train") for item in utterances}


def _choose(names: Sequence[str], cells: dict[str, Counter]) -> list[str]:
    """Groups, in the order given, that hold about a tenth of all and every emotion."""
    wanted = HELD_OUT * sum(cell.total() for cell in cells.values())
    emotions = set().union(*cells.values())
    held: Counter = Counter()
    chosen = []
    for name in names:
        if held.total() >= wanted and set(held) == emotions:
            break
        total = held.total() + cells[name].total()
        nearer = abs(total - wanted) < abs(held.total() - wanted)
        lacks = set(cells[name]) - set(held)
        if nearer or (lacks and total <= MOST * wanted):
            chosen.append(name)
            held += cells[name]
    return chosen


def _smallest(names: Sequence[str], cells: dict[str, Counter]) -> str:
    return min(names, key=lambda name: cells[name].total())


def split(utterances: Sequence[Utterance], corpus: Corpus, policy: str) -> Assignment:
    """Assign every utterance to train, valid or test, by one of ``POLICIES``.

    UserError if the corpus cannot be split so, or the paper's counts are not met.
    """
    others = [name for name in corpus.policies if name != "none"] or ["none"]
    if policy not in corpus.policies:
        reason = {
            "paper": f"the paper has no split of {corpus.name}",
            "speaker": f"{corpus.name} does not tell who speaks",
            "official": f"{corpus.name} has no official parts",
        }.get(policy, f"there is no split policy {policy!r}")
        raise UserError(f"{reason}: use --splits={' or '.join(others)}")
    if policy == "none":
        return {item.id: "train" for item in utterances}
    if policy == "official":
        return official(utterances)
    if policy == "speaker":
        assignment = by_speaker(utterances, corpus)
        _assert_disjoint(utterances, assignment, corpus)
        return assignment
    return _as_in_paper(utterances, corpus, corpus.paper_split)


def is_speaker_disjoint(
    utterances: Sequence[Utterance], assignment: Assignment
) -> bool | None:
    """Whether train shares no speaker with valid or test; None if none is known."""
    known = any(item.speaker for item in utterances)
    return not _shared_speakers(utterances, assignment) if known else None


def _as_in_paper(
    utterances: Sequence[Utterance], corpus: Corpus, paper: PaperSplit
) -> Assignment:
    four = sum(bool(corpus.emotion(item.emotion)) for item in utterances)
    if four != sum(paper.counts):
        raise UserError(
            f"{corpus.name}: the paper's split has {_slashed(paper.counts)} utterances "
            f"of the four emotions ({sum(paper.counts)}), this folder has {four}: "
            "complete the corpus, or use --splits=speaker"
        )
    assignment = paper.assign(utterances)
    _assert_paper(utterances, assignment, corpus, paper)
    if paper.speaker_disjoint:
        _assert_disjoint(utterances, assignment, corpus)
    return assignment


def _shared_speakers(
    utterances: Sequence[Utterance], assignment: Assignment
) -> set[str]:
    train, held = set(), set()
    for item in utterances:
        if item.speaker:
            part = train if assignment[item.id] == "train" else held
            part.add(item.speaker)
    return train & held


def _assert_disjoint(
    utterances: Sequence[Utterance], assignment: Assignment, corpus: Corpus
) -> None:
    shared = _shared_speakers(utterances, assignment)
    if shared:
        raise AssertionError(f"{corpus.name}: {shared} in train and held out")


def _assert_paper(
    utterances: Sequence[Utterance],
    assignment: Assignment,
    corpus: Corpus,
    paper: PaperSplit,
) -> None:
    four = [item for item in utterances if corpus.emotion(item.emotion)]
    found = Counter(assignment[item.id] for item in four)
    counts = tuple(found[part] for part in SPLITS)
    speakers = {item.speaker for item in four if assignment[item.id] == "train"}
    if counts != paper.counts or len(speakers) != paper.train_speakers:
        raise UserError(
            f"{corpus.name}: the paper's split has {_slashed(paper.counts)} utterances "
            f"and {paper.train_speakers} training speakers, this folder gives "
            f"{_slashed(counts)} and {len(speakers)}: get the corpus anew, "
            "or use --splits=speaker"
        )


def _slashed(counts: Sequence[int]) -> str:
    return "/".join(map(str, counts))
