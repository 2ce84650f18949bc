"""Stand-ins: small synthetic corpora for demos and tests, in real corpora's layouts.

A stand-in has the folders, file names, label files, speakers and sample rate of the
corpus it stands for, so that everything from preparation to training runs on it
unchanged, but its speech is synthetic and its sentences are the project's own.
What a model scores on it says nothing about the real corpus. ``STANDIN.json``
marks it as what it is.

Speech comes from espeak-ng: one voice variant, base pitch, tempo, timbre and
level for each speaker, and four emotions by prosody rules, the same in every
language. The rules follow the literature on emotional speech synthesis in
direction; their sizes are set here, smaller, so that the classes overlap:

===========  =======  ======  ======  ======  =====================================
offset       neutral  happy   angry   sad     after
===========  =======  ======  ======  ======  =====================================
F0 mean      0        +6 st   +2 st   -1 st   joy far up, anger somewhat, sadness
                                              level or down [1-4]
F0 range     x 1      x 1.8   x 1.5   x 0.55  joy and anger wide, sadness narrow
                                              [1-4]
tempo        x 1      x 1.2   x 1.2   x 0.82  joy and anger fast, sadness slow [1-4]
pauses       0        0       0       +40 ms  sadness hesitates: between words [1]
loudness     0        +2 dB   +5 dB   -5 dB   anger loud, sadness soft [1, 2]
tilt, dB     0        +1.6    +4.6    -3      voice quality: anger tense and bright,
per octave                                    sadness breathy and dull [1-3]
===========  =======  ======  ======  ======  =====================================

Each clip scales its offsets by a random strength (and by its acted intensity, in
corpora with two) and jitters every parameter.

[1] J. E. Cahn, "The generation of affect in synthesized speech", Journal of the
American Voice I/O Society 8, 1990. [2] I. R. Murray and J. L. Arnott, "Implementation
and testing of a system for producing emotion-by-rule in synthetic speech", Speech
Communication 16, 1995; after their review, JASA 93(2), 1993. [3] F. Burkhardt and W. F.
Sendlmeier, "Verification of acoustical correlates of emotional speech using
formant-synthesis", ISCA Workshop on Speech and Emotion, 2000. [4] M. Schröder,
"Emotional speech synthesis: a review", Eurospeech 2001.
"""

import csv
import json
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from data_prep import outside
from data_prep._espeak import Speech, render
from data_prep.errors import UserError
from data_prep.progress import silenced

MARKER = "STANDIN.json"
_GENERATOR = 1  # raise it with any change that alters what is written
_EMOTIONS = ("neutral", "happy", "angry", "sad")

# The offsets of the table above: semitones, log2 of F0 range, log2 of tempo, 10 ms, dB,
# dB per octave; and the standard deviations of what clips and speakers add to them.
_PROSODY = {
    "neutral": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "happy": (6.0, 0.85, 0.26, 0.0, 2.0, 1.6),
    "angry": (2.0, 0.58, 0.26, 0.0, 5.0, 4.6),
    "sad": (-1.0, -0.86, -0.29, 4.0, -5.0, -3.0),
}
_JITTER = (0.9, 0.2, 0.07, 0.5, 2.0, 0.6)
_SPEAKER_SPREAD = (1.5, 0.12, 0.06, 0.4, 2.0, 0.7)

_TEXTS = {
    "en-us": (
        "The meeting starts at nine.",
        "My bag is under the table.",
        "The train arrives on platform two.",
        "She put the letter in the drawer.",
        "We are having soup this evening.",
        "The window is still open.",
        "He called me back this morning.",
        "There are five cups on the shelf.",
        "The bus stops near the library.",
        "I left the keys in the car.",
    ),
    "de": (
        "Die Sitzung beginnt um neun.",
        "Meine Tasche steht unter dem Stuhl.",
        "Der Zug kommt auf Gleis zwei an.",
        "Sie hat den Brief schon gelesen.",
        "Heute Abend gibt es Suppe.",
        "Das Fenster ist noch offen.",
        "Er hat mich heute früh angerufen.",
        "Im Regal stehen fünf Tassen.",
        "Der Bus hält an der Bücherei.",
        "Ich habe den Schlüssel im Auto.",
    ),
    "fr": (
        "La réunion commence à neuf heures.",
        "Mon sac est sous la table.",
        "Le train arrive au quai numéro deux.",
        "Elle a rangé la lettre hier.",
        "Ce soir nous mangeons de la soupe.",
        "La fenêtre est encore ouverte.",
    ),
    "ur": (
        "میٹنگ نو بجے شروع ہوگی۔",
        "میرا بیگ میز کے نیچے ہے۔",
        "گاڑی پلیٹ فارم دو پر آئے گی۔",
        "اس نے خط دراز میں رکھ دیا۔",
        "آج شام ہم سوپ پیئیں گے۔",
        "کھڑکی ابھی تک کھلی ہے۔",
        "اس نے صبح مجھے فون کیا۔",
        "الماری میں پانچ پیالیاں ہیں۔",
    ),
    "cmn": (
        "会议九点开始。",
        "我的包在桌子下面。",
        "火车停在二号站台。",
        "她把信放进抽屉了。",
        "今天晚上我们喝汤。",
        "窗户还开着。",
        "他早上给我回了电话。",
        "架子上有五个杯子。",
        "公共汽车停在图书馆旁边。",
        "我把钥匙放在车里了。",
    ),
    "pl": (
        "Zebranie zaczyna się o dziewiątej.",
        "Moja torba leży pod stołem.",
        "Pociąg wjeżdża na tor drugi.",
        "Ona schowała list do szuflady.",
        "Dziś wieczorem jemy zupę.",
        "Okno jest jeszcze otwarte.",
        "On oddzwonił do mnie rano.",
        "Na półce stoi pięć kubków.",
    ),
}


@dataclass(frozen=True, slots=True)
class _Clip:
    """One file to be: who says which sentence how."""

    path: str
    speaker: str
    gender: str
    emotion: str
    sentence: int
    text: str


@dataclass(frozen=True)
class _Layout:
    """The layout of one corpus.

    ``path`` names a file by speaker, place of the speaker in ``speakers``, emotion
    and sentence; ``labels`` writes the label files. ``sentences`` is the default
    number for each speaker and emotion, ``limit`` the greatest, ``texts`` how many of
    them are distinct. With ``intensities``, ``_intensity`` is acted.
    """

    language: str
    sample_rate: int
    speakers: Mapping[str, str]  # id to m or f
    sentences: int
    limit: int
    path: Callable[[str, int, str, int], str]
    labels: Callable[[Path, Sequence[_Clip]], None] | None = None
    texts: int = 10
    intensities: bool = False


def _code(emotion: str, codes: str) -> str:
    """The word of ``codes``, in the order neutral happy angry sad, for an emotion."""
    return codes.split()[_EMOTIONS.index(emotion)]


def _intensity(emotion: str, sentence: int) -> int:
    """1 (normal, all there is of neutral) or 2 (strong), so that repetitions differ."""
    return 1 if emotion == "neutral" else 1 + (sentence + sentence // 2) % 2


def _seconds(path: Path) -> float:
    return soundfile.info(path).duration


def _write_lines(path: Path, lines: Iterable[str], newline: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + newline for line in lines), "utf-8", newline="")


_EMODB_TEXTS = ("a01", "a02", "a04", "a05", "a07", "b01", "b02", "b03", "b09", "b10")


def _emodb_path(speaker: str, place: int, emotion: str, sentence: int) -> str:
    return f"wav/{speaker}{_EMODB_TEXTS[sentence]}{_code(emotion, 'N F W T')}a.wav"


def _cafe_path(speaker: str, place: int, emotion: str, sentence: int) -> str:
    folder = _code(emotion, "Neutre Joie Colère Tristesse")
    letter, intensity = folder[0], _intensity(emotion, sentence)
    if emotion != "neutral":
        folder += ("/Faible", "/Fort")[intensity - 1]
    return f"{folder}/{speaker}-{letter}-{intensity}-{sentence + 1}.wav"


def _urdu_path(speaker: str, place: int, emotion: str, sentence: int) -> str:
    running = 8 * place + sentence + 1  # through all speakers
    letter = emotion[0].upper()
    return f"{emotion.title()}/{speaker}_F{sentence + 1}_{letter}0{running}.wav"


def _ravdess_path(speaker: str, place: int, emotion: str, sentence: int) -> str:
    repetition, statement = divmod(sentence, 2)
    code = _code(emotion, "01 03 05 04")
    take = f"{_intensity(emotion, sentence):02}-{statement + 1:02}-{repetition + 1:02}"
    return f"Actor_{speaker}/03-01-{code}-{take}-{speaker}.wav"


def _casia_path(speaker: str, place: int, emotion: str, sentence: int) -> str:
    return f"{speaker}/{emotion}/{201 + sentence}.wav"


def _nemo_path(speaker: str, place: int, emotion: str, sentence: int) -> str:
    label = _code(emotion, "neutral happiness anger sadness")
    return f"samples/{speaker}_{label}_{sentence + 1}.wav"


def _nemo_labels(folder: Path, clips: Sequence[_Clip]) -> None:
    rows = ["file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage"]
    for clip in clips:
        name = Path(clip.path).name
        label, plain = name.split("_")[1], clip.text.lower().rstrip(".")
        gender = {"m": "male", "f": "female"}[clip.gender]
        # the blanks stand in the corpus' own file
        speaker = f"        {clip.speaker}"
        rows.append("\t".join((name, label, clip.text, plain, speaker, gender, "25")))
    _write_lines(folder / "data.tsv", rows, "\r\n")


def _esd_path(speaker: str, place: int, emotion: str, sentence: int) -> str:
    number = 350 * int(_code(emotion, "0 2 1 3")) + sentence + 1
    return f"{speaker}/{emotion.title()}/{speaker}_{number:06}.wav"


def _esd_labels(folder: Path, clips: Sequence[_Clip]) -> None:
    speakers = sorted({clip.speaker for clip in clips})
    for speaker in speakers:
        rows = []
        for clip in clips:
            if clip.speaker == speaker:
                label = clip.emotion.title()
                if int(speaker) % 2 == 0:  # the corpus has both
                    label = _code(clip.emotion, "中立 快乐 生气 伤心")
                rows.append(f"{Path(clip.path).stem}\t{clip.text}\t{label}")
        _write_lines(folder / speaker / f"{speaker}.txt", sorted(rows))


def _iemocap_path(speaker: str, place: int, emotion: str, sentence: int) -> str:
    session, gender = speaker[:5], speaker[5]
    scene, scripted = divmod(sentence, 2)
    dialogue = f"{session}F_impro{scene + 1:02}"
    if scripted:
        dialogue = f"{session}M_script{scene % 3 + 1:02}_{scene // 3 + 1}"
    turn = f"{dialogue}_{gender}{_EMOTIONS.index(emotion):03}"
    return f"Session{session[-1]}/sentences/wav/{dialogue}/{turn}.wav"


def _iemocap_labels(folder: Path, clips: Sequence[_Clip]) -> None:
    dialogues: dict[Path, list[_Clip]] = {}
    for clip in clips:
        dialogues.setdefault(Path(clip.path).parent, []).append(clip)
    for path, turns in dialogues.items():
        times = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
        texts, start = [], 0.0
        for clip in turns:
            end = start + _seconds(folder / clip.path)
            code = _code(clip.emotion, "neu hap ang sad")
            word = _code(clip.emotion, "Neutral Happiness Anger Sadness")
            if clip.emotion == "happy" and clip.sentence % 2:
                code, word = "exc", "Excited"
            valence = _code(clip.emotion, "2.5000 4.0000 2.0000 2.0000")
            arousal = _code(clip.emotion, "2.5000 3.5000 4.0000 2.0000")
            turn = Path(clip.path).stem
            times += [
                f"[{start:.4f} - {end:.4f}]\t{turn}\t{code}\t"
                f"[{valence}, {arousal}, 2.5000]",
                *(f"C-E{judge}:\t{word};\t()" for judge in (2, 3, 4)),
                "",
            ]
            texts.append(f"{turn} [{start:08.4f}-{end:08.4f}]: {clip.text}")
            start = end + 0.5
        dialog = folder / path.parts[0] / "dialog"
        _write_lines(dialog / "EmoEvaluation" / f"{path.name}.txt", times)
        _write_lines(dialog / "transcriptions" / f"{path.name}.txt", texts)


_MELD_CLIPS = {
    "train": "train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}
_MELD_COLUMNS = (
    *("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID"),
    *("Utterance_ID", "Season", "Episode", "StartTime", "EndTime"),
)
_MELD_CAST = 6  # these speak in every part, guests in one


def _meld_path(speaker: str, place: int, emotion: str, sentence: int) -> str:
    if place < _MELD_CAST:
        part = ("train", "dev", "test", "train", "train")[sentence % 5]
    else:
        part = ("train", "train", "dev", "test")[(place - _MELD_CAST) % 4]
    utterance = 4 * place + _EMOTIONS.index(emotion)
    return f"{_MELD_CLIPS[part]}/dia{sentence}_utt{utterance}.wav"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds, 3), 60)
    return f"00:{minutes:02.0f}:{seconds:06.3f}".replace(".", ",")


def _meld_labels(folder: Path, clips: Sequence[_Clip]) -> None:
    for part, directory in _MELD_CLIPS.items():
        start, rows = 60.0, []
        for clip in clips:
            path = Path(clip.path)
            if path.parent.name == directory:
                end = start + _seconds(folder / path)
                dialogue, utterance = path.stem.removeprefix("dia").split("_utt")
                emotion = _code(clip.emotion, "neutral joy anger sadness")
                sentiment = _code(clip.emotion, "neutral positive negative negative")
                labels = clip.text, clip.speaker, emotion, sentiment
                times = _clock(start), _clock(end)
                rows.append((len(rows) + 1, *labels, dialogue, utterance, 1, 1, *times))
                start = end
        with open(
            folder / f"{part}_sent_emo.csv", "w", newline="", encoding="utf-8"
        ) as out:
            writer = csv.writer(out)
            writer.writerow(_MELD_COLUMNS)
            writer.writerows(rows)


def _genders(ids: str) -> dict[str, str]:
    """``"03m 08f"`` to ``{"03": "m", "08": "f"}``."""
    return {word[:-1]: word[-1] for word in ids.split()}


def _odd_male(count: int) -> dict[str, str]:
    return {f"{number:02}": "fm"[number % 2] for number in range(1, count + 1)}


_MELD_SPEAKERS = _genders(
    "Chandlerm Joeym Monicaf Phoebef Rachelf Rossm "
    "Mikem Janicef Carolf Paulm Charlief Markm Monaf Garym"
)
_ESD_SPEAKERS = _genders("0001f 0002f 0003f 0004m 0005m 0006m 0007f 0008m 0009f 0010m")
_EMODB_SPEAKERS = _genders("03m 08f 09f 10m 11m 12m 13f 14f 15m 16f")
_URDU_SPEAKERS = {f"SM{n}": "m" for n in (*range(1, 8), *range(17, 28))}
_URDU_SPEAKERS |= {f"SF{n}": "f" for n in range(1, 12)}
_IEMOCAP_SPEAKERS = {f"Ses0{n}{g}": g.lower() for n in range(1, 6) for g in "FM"}
_NEMO_SPEAKERS = _genders("EB0f IC0f KD0f KS0m MK0f MP0m SM0m TP0m WR0m")
_CASIA_SPEAKERS = _genders("liuchanhgf wangzhem zhaoquanyinf ZhaoZuoxiangm")

_LAYOUTS = {
    "meld": _Layout("en-us", 16000, _MELD_SPEAKERS, 4, 10, _meld_path, _meld_labels),
    "esd": _Layout("cmn", 16000, _ESD_SPEAKERS, 10, 10, _esd_path, _esd_labels),
    "emodb": _Layout("de", 16000, _EMODB_SPEAKERS, 10, 10, _emodb_path),
    "cafe": _Layout("fr", 48000, _odd_male(12), 6, 6, _cafe_path, intensities=True),
    "urdu": _Layout("ur", 44100, _URDU_SPEAKERS, 3, 8, _urdu_path),
    "iemocap": _Layout(
        "en-us", 16000, _IEMOCAP_SPEAKERS, 10, 10, _iemocap_path, _iemocap_labels
    ),
    "ravdess": _Layout(
        "en-us", 48000, _odd_male(24), 2, 4, _ravdess_path, texts=2, intensities=True
    ),
    "nemo": _Layout("pl", 24000, _NEMO_SPEAKERS, 5, 8, _nemo_path, _nemo_labels),
    "casia": _Layout("cmn", 16000, _CASIA_SPEAKERS, 10, 10, _casia_path),
}
CORPORA = tuple(_LAYOUTS)


def _plan(layout: _Layout, speakers: Sequence[str], sentences: int) -> list[_Clip]:
    """All clips of a stand-in."""
    texts = _TEXTS[layout.language][: layout.texts]
    clips = []
    for place, (speaker, gender) in enumerate(layout.speakers.items()):
        if speaker in speakers:
            for emotion in _EMOTIONS:
                for k in range(sentences):
                    path = layout.path(speaker, place, emotion, k)
                    text = texts[k % len(texts)]
                    clips.append(_Clip(path, speaker, gender, emotion, k, text))
    return clips


def _rng(seed: int, *name: str) -> np.random.Generator:
    """Random numbers that depend on the seed and a name, and on nothing else."""
    return np.random.default_rng([seed, zlib.crc32("/".join(name).encode())])


def _speech(clip: _Clip, corpus: str, folder: Path, seed: int) -> Speech:
    """Speaker, emotion and chance made into numbers."""
    layout = _LAYOUTS[corpus]
    same_gender = [s for s, g in layout.speakers.items() if g == clip.gender]
    variant = 1 + same_gender.index(clip.speaker) % {"m": 8, "f": 5}[clip.gender]
    own = _rng(seed, corpus, clip.speaker).normal(0, _SPEAKER_SPREAD)
    rng = _rng(seed, corpus, clip.path)
    strength = rng.normal(1.0, 0.15)
    if layout.intensities:
        strength *= (0.85, 1.15)[_intensity(clip.emotion, clip.sentence) - 1]
    offsets = strength * np.array(_PROSODY[clip.emotion]) + rng.normal(0, _JITTER)
    pitch, pitch_range, tempo, gap, loudness, tilt = own + offsets
    return Speech(
        path=str(folder / clip.path),
        voice=f"{layout.language}+{clip.gender}{variant}",
        text=clip.text,
        words_per_minute=round(np.clip(165 * 2**tempo, 80, 450)),
        pitch=round(np.clip(50 + pitch * 50 / 12, 0, 99)),
        pitch_range=round(np.clip(50 * 2**pitch_range, 0, 99)),
        word_gap=round(max(0, gap)),
        tilt=float(tilt),
        level=float(loudness - 27),
        noise=float(_rng(seed, corpus).uniform(-70, -60)),
        lead=float(rng.uniform(0.05, 0.2)),
        tail=float(rng.uniform(0.05, 0.2)),
        sample_rate=layout.sample_rate,
        seed=int(rng.integers(2**31)),
    )


def _read_marker(folder: Path) -> dict | None:
    """What the marker says, or None for a folder that is not a stand-in."""
    try:
        marker = outside.read_json(Path(folder) / MARKER, "the mark of a stand-in")
    except UserError:
        return None
    return marker if marker.get("standin") and marker.get("complete") else None


def is_standin(folder: Path) -> bool:
    """Whether a folder holds a complete stand-in rather than a real corpus."""
    return _read_marker(folder) is not None


def write(
    corpus: str,
    folder: Path,
    *,
    seed: int = 1,
    speakers: int | Sequence[str] | None = None,
    sentences: int | None = None,
    progress: bool = True,
) -> int:
    """Write the stand-in of a corpus, unless it is there already.

    It is written beside the folder and moved there when complete, so an interrupted
    call leaves nothing that could be taken for a whole stand-in.

    Arguments
    ---------
    corpus : str
        One of ``CORPORA``.
    folder : Path
        The corpus' folder. A stand-in with other parameters is replaced.
    seed : int
        Another seed gives other voices and other chances.
    speakers : int or sequence of str
        The first so many, or these; by default all.
    sentences : int
        For each speaker and emotion; by default such that there are about 200 clips.
    progress : bool
        Show a progress bar, at a terminal.

    Returns
    -------
    int
        Number of clips.

    Raises
    ------
    UserError
        If the folder holds anything else, a parameter is out of range, or espeak-ng is
        not installed.
    """
    if corpus not in _LAYOUTS:
        raise UserError(f"no stand-in for {corpus!r}: there are {', '.join(CORPORA)}")
    layout, folder = _LAYOUTS[corpus], Path(folder).resolve()
    speakers = _chosen(corpus, speakers)
    sentences = layout.sentences if sentences is None else sentences
    if not 1 <= sentences <= layout.limit:
        raise UserError(f"sentences={sentences} for {corpus}: take 1 to {layout.limit}")
    clips = _plan(layout, speakers, sentences)
    parameters = {
        "corpus": corpus,
        "seed": seed,
        "speakers": speakers,
        "sentences": sentences,
        "generator": _GENERATOR,
        "clips": len(clips),
    }
    present = _read_marker(folder)
    if present is None and folder.exists() and any(folder.iterdir()):
        raise UserError(
            f"{folder} holds files that are no stand-in: give another folder, "
            "or empty it"
        )
    if present is not None:
        same = all(present.get(key) == value for key, value in parameters.items())
        if same and all((folder / clip.path).exists() for clip in clips):
            return len(clips)

    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    speech = [_speech(clip, corpus, partial, seed) for clip in clips]
    with silenced(not progress):
        version = render(speech, f"{corpus}, stand-in")
    if layout.labels is not None:
        layout.labels(partial, clips)
    marker = {
        "standin": True,
        "note": "Synthetic speech in the layout of a corpus: nothing of it is real, "
        "and no score on it says anything of the corpus.",
        **parameters,
        "espeak": version,
        "complete": True,
    }
    _write_lines(partial / MARKER, [json.dumps(marker, indent=2, ensure_ascii=False)])
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)
    return len(clips)


def _chosen(corpus: str, speakers: int | Sequence[str] | None) -> list[str]:
    """The speakers' identifiers, in the layout's order."""
    known = list(_LAYOUTS[corpus].speakers)
    if speakers is None:
        return known
    if isinstance(speakers, int):
        if not 1 <= speakers <= len(known):
            raise UserError(f"speakers={speakers} for {corpus}: take 1 to {len(known)}")
        return known[:speakers]
    strangers = set(speakers) - set(known)
    if strangers or not speakers:
        raise UserError(
            f"speakers={sorted(strangers)} for {corpus}: take some of {' '.join(known)}"
        )
    return [speaker for speaker in known if speaker in speakers]
