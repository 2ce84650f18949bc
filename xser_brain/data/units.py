"""Units of what is said: pieces of words, learnt from transcripts by sentencepiece."""

import hashlib
import io
import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import sentencepiece
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)

from data_prep.errors import UserError
from xser_brain.numbers import number

KINDS = ("unigram", "bpe")
SPACE = "\u2581"  # what sentencepiece writes for one
LONGEST = 2**20  # bytes of a transcript; sentencepiece leaves longer ones out


def spoken(transcript: str) -> str:
    """The words of a transcript, as far as they can be heard: no case, no punctuation.

    Example
    -------
    >>> spoken("Well... I don't KNOW (twenty-one)!")
    "well i don't know twenty one"
    """
    text = unicodedata.normalize("NFKC", transcript).casefold().replace("’", "'")
    kept = (c if unicodedata.category(c)[0] in "LMN" or c == "'" else " " for c in text)
    words = (word.strip("'") for word in "".join(kept).split())
    return " ".join(filter(None, words))


@dataclass(frozen=True)
class Units:
    """Which units an objective asks for.

    Arguments
    ---------
    size : int
        Of the vocabulary. There are more if the transcripts have more characters, each of
        which is a unit, and fewer if they have no more words.
    kind : str
        ``unigram`` (Kudo, "Subword regularization", ACL 2018) or ``bpe`` (Sennrich et al.,
        "Neural machine translation of rare words with subword units", ACL 2016).

    Raises
    ------
    UserError
        If an argument has no meaning.

    Example
    -------
    >>> vocabulary = Units(size=12, kind="bpe").learn(["A cat.", "A cat at tea."])
    >>> vocabulary.pieces[:5]
    ('<unk>', 'at', '▁a', '▁c', '▁cat')
    >>> [vocabulary.pieces[unit] for unit in vocabulary.encode("Tea, cat!")]
    ['▁t', 'ea', '▁cat']
    """

    size: int = 200
    kind: str = "unigram"

    def __post_init__(self):
        number("units.size", self.size, least=1, whole=True)
        if self.kind not in KINDS:
            raise UserError(f"units.kind is {self.kind!r}: use {' or '.join(KINDS)}")

    def learn(self, transcripts: Iterable[str]) -> "Vocabulary":
        """Learn units; the same ones from the same transcripts, in whatever order.

        Arguments
        ---------
        transcripts : iterable of str
            Of training utterances; each sentence counts once, however often it is said.

        Returns
        -------
        Vocabulary

        Raises
        ------
        UserError
            If there is no word in them.
        """
        sentences = sorted({spoken(text) for text in transcripts} - {""})
        if not sentences:
            raise UserError(
                "no training transcript has a word to learn units from: add a corpus with "
                "transcripts, or use a --system without such an objective"
            )
        characters = {*"".join(sentences).replace(" ", SPACE), SPACE}
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            model_type=self.kind,
            vocab_size=max(int(self.size), len(characters) + 1),
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="identity",
            max_sentence_length=LONGEST,
            num_threads=1,
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            minloglevel=2,
        )
        return Vocabulary(model.getvalue(), self.kind, len(sentences))


@register_checkpoint_hooks
class Vocabulary:
    """Learnt units.

    A checkpoint holds their hash: what was trained on others does not go on with these.

    Arguments
    ---------
    model : bytes
        Of sentencepiece.
    kind : str
        See ``Units``.
    sentences : int
        That it was learnt from.
    """

    def __init__(self, model: bytes, kind: str, sentences: int):
        self.model, self.kind, self.sentences = model, kind, sentences
        self.sha256 = hashlib.sha256(model).hexdigest()
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        units = range(self._processor.get_piece_size())
        self.pieces = tuple(map(self._processor.id_to_piece, units))

    def encode(self, transcript: str) -> list[int]:
        """Units of what is said, as indices of ``pieces``; none of an empty transcript."""
        return self._processor.encode(spoken(transcript))

    def describe(self) -> dict:
        """What run.json says of it."""
        return {
            "kind": self.kind,
            "size": len(self.pieces),
            "sentences": self.sentences,
            "sha256": self.sha256,
            "sentencepiece": sentencepiece.__version__,
        }

    @mark_as_saver
    def _save(self, path):
        Path(path).write_text(json.dumps(self.describe()), encoding="utf-8")

    @mark_as_loader
    def _load(self, path, end_of_epoch):
        del end_of_epoch
        before = json.loads(Path(path).read_text(encoding="utf-8"))
        if before["sha256"] != self.sha256:
            version = before["sentencepiece"]
            raise UserError(
                f"{Path(path).parent} was trained on units of sentencepiece {version}, "
                f"and {sentencepiece.__version__} learns others: install sentencepiece"
                f"=={version}, or pass --overwrite=True"
            )
