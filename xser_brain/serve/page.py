"""The page: a recording in, an emotion, its probabilities and how far to trust it out."""

import html
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import gradio

from data_prep import audio
from data_prep.audio import AudioError, Header
from data_prep.ffmpeg import FFmpeg
from xser_brain.evaluation.summary import shown_interval
from xser_brain.inference import Classifier, Result
from xser_brain.inference.classifier import OutOfTime
from xser_brain.inference.recordings import LONGEST
from xser_brain.inference.results import UNSURE
from xser_brain.models.card import language_name
from xser_brain.serve.access import visitor
from xser_brain.serve.limits import Limits
from xser_brain.serve.quota import Quota, QuotaError
from xser_brain.serve.timeline import draw_timeline
from xser_brain.serve.uploads import Uploads

logger = logging.getLogger(__name__)
TITLE = "Speech emotion recognition"
MOST_VALUES = 2 * 96000  # a second, of all channels
OPENING = 10.0  # seconds that a recording may take to say what it is
# Nothing is fetched from anywhere: Gradio's own themes load their fonts from the web.
FONTS = {
    "font": ["system-ui", "sans-serif"],
    "font_mono": ["ui-monospace", "monospace"],
}
BLANK = (
    "Record something, or choose a file (WAV, FLAC, MP3, M4A, Ogg and most others): the "
    "answer comes here."
)
CSS = """
.answer h2 { margin: 0 }
.notice { font-size: 0.92em }
.timeline { width: 100%; border-radius: 4px }
footer { display: none !important }
"""


def without_urls(component: gradio.components.Component) -> gradio.components.Component:
    """Have a component refuse URLs, which it would fetch.

    It is no class of its own: Gradio would write a file beside this one for it.

    Arguments
    ---------
    component : gradio.components.Component
        Which takes files.

    Returns
    -------
    gradio.components.Component
        The same.
    """
    move = component.move_resource_to_block_cache
    move_async = component.async_move_resource_to_block_cache

    def refuse(path: object) -> None:
        if path is not None and "://" in str(path):
            raise ValueError("a URL: nothing is fetched")

    def local(path):
        refuse(path)
        return move(path)

    async def local_async(path):
        refuse(path)
        return await move_async(path)

    component.move_resource_to_block_cache = local
    component.async_move_resource_to_block_cache = local_async
    return component


class Page:
    """What is shown.

    Arguments
    ---------
    classifier : Classifier
        The model.
    limits : Limits
        What a visitor may ask for.
    uploads : Uploads
        Where recordings lie.
    examples : mapping of str to Path
        Recordings to try it on, by what they are called.
    quota : Quota, optional
        Of what is classified.
    """

    def __init__(
        self,
        classifier: Classifier,
        limits: Limits,
        uploads: Uploads,
        examples: Mapping[str, Path],
        quota: Quota | None = None,
    ):
        self.classifier, self.limits, self.quota = classifier, limits, quota
        self.uploads, self.examples = uploads, examples
        self._opening = threading.Lock()

    def build(self) -> gradio.Blocks:
        """Lay the page out.

        Returns
        -------
        gradio.Blocks
        """
        limits = self.limits
        with gradio.Blocks(title=TITLE, analytics_enabled=False) as blocks:
            gradio.Markdown(f"# {TITLE}\n{notice(self.classifier.config)}")
            with gradio.Row():
                with gradio.Column():
                    recording = without_urls(
                        gradio.Audio(
                            sources=["upload", "microphone"],
                            type="filepath",
                            label=f"A recording (up to {limits.megabytes:g} MB and "
                            f"{_duration(limits.seconds)}; removed within a minute)",
                            buttons=[],
                            elem_id="recording",
                        )
                    )
                    # The field above takes no video, whoever accepts them.
                    other = without_urls(
                        gradio.UploadButton(
                            "A video, or any other file",
                            type="filepath",
                            size="sm",
                            elem_id="other",
                        )
                    )
                    if self.examples:
                        gradio.Examples(
                            [[str(path)] for path in self.examples.values()],
                            recording,
                            label="Synthetic speech to try it on",
                            example_labels=list(self.examples),
                            cache_examples=False,
                            api_visibility="private",
                        )
                with gradio.Column():
                    answer = gradio.Markdown(
                        BLANK, elem_id="answer", elem_classes="answer"
                    )
                    bars = gradio.Label(
                        label="Probabilities", show_heading=False, elem_id="bars"
                    )
            # Not gradio.HTML, which builds scripts from strings; this one's HTML is ours.
            timeline = gradio.Markdown(elem_id="timeline", sanitize_html=False)
            gradio.Markdown(
                trust(self.classifier.config, self.classifier.threshold)
                + (
                    f"\n\nModel: {self.classifier.name}" if self.classifier.name else ""
                ),
                elem_classes="notice",
            )
            claimed, shown = gradio.State(), [answer, bars, timeline]
            for given, source in (
                (recording.change, recording),
                (other.upload, other),
            ):
                accepted = given(
                    self.accept,
                    source,
                    [*shown, claimed],
                    queue=False,
                    show_progress="hidden",
                    api_visibility="private",
                )
                accepted.then(
                    self.answer,
                    claimed,
                    shown,
                    show_progress_on=answer,
                    concurrency_id="answer",
                    api_visibility="private",
                )
        blocks.queue(
            default_concurrency_limit=limits.at_once,
            max_size=limits.waiting,
            api_open=False,
        )
        return blocks

    def accept(self, path: str | None, request: gradio.Request | None = None) -> tuple:
        """Look at what a visitor sends, at once, whoever else is waiting.

        Arguments
        ---------
        path : str, optional
            The recording; none after it has been taken away.
        request : gradio.Request, optional
            Who asks.

        Returns
        -------
        str, None, str, str or None
            Markdown, no bars, no time line, and the recording for ``answer``.
        """
        if path is None:
            return *_nothing(BLANK), None
        try:
            try:
                self._require_short(audio.probe(path, audio.DAY))
                self._count(path, request)
            except audio.UnknownFormatError as error:
                # To ask FFmpeg costs a process, and so a recording of the quota.
                self._count(path, request)
                self._require_short(self._ask_ffmpeg(path, error))
            return *_nothing("Listening …"), str(self.uploads.claim(path))
        except (AudioError, QuotaError) as error:
            return *_no_answer(path, str(error)), None
        except OSError:
            return *_no_answer(path, "gone: send it again"), None

    def _count(self, path: str, request: gradio.Request | None) -> None:
        if self.quota:
            address = request.client.host if request and request.client else ""
            self.quota.take(visitor(address), os.path.getsize(path))

    def _ask_ffmpeg(self, path: str, unknown: AudioError) -> Header:
        """What a file that libsndfile does not know says of itself; one at a time."""
        if not self._opening.acquire(timeout=OPENING):
            raise AudioError("too many at once: send it again")
        try:
            with FFmpeg(OPENING) as ffmpeg:
                return ffmpeg.probe(path)
        except audio.UnknownFormatError:
            raise unknown from None
        finally:
            self._opening.release()

    def _require_short(self, header: Header) -> None:
        if header.duration > self.limits.seconds:
            raise AudioError(
                f"{_duration(header.duration)} long, and at most "
                f"{_duration(self.limits.seconds)} are taken"
            )
        # Of several channels and high rates there is much more to decode.
        if header.sample_rate * header.channels > MOST_VALUES:
            raise AudioError(
                f"{header.channels} channels of {header.sample_rate} Hz, and at most "
                f"{MOST_VALUES} samples a second are taken"
            )

    def answer(self, claimed: str | None) -> tuple:
        """Answer a visitor.

        Arguments
        ---------
        claimed : str, optional
            From ``accept``.

        Returns
        -------
        str, dict, str
            Markdown, bars, and HTML of a time line.
        """
        if claimed is None:
            return gradio.skip(), gradio.skip(), gradio.skip()
        try:
            results = self.classifier.classify(
                [claimed],
                timeline=True,
                seconds=self.limits.answer_seconds,
                longest=self.limits.seconds,
            )
            result = next(results)
        except OutOfTime as error:
            return _no_answer(claimed, str(error))
        except Exception:
            logger.exception("a recording was not classified")
            return _no_answer(claimed, "an error of the server's: see its log")
        finally:
            self.uploads.release(Path(claimed))
        if result.error:
            return _no_answer(claimed, result.error)
        picture = draw_timeline(result) if len(result.timeline) > 1 else ""
        text = describe(result, self.classifier.threshold)
        return text, result.probabilities, picture


def notice(config: dict) -> str:
    """What a visitor must know before anything else.

    Arguments
    ---------
    config : dict
        Of the exported model.

    Returns
    -------
    str
        Markdown.
    """
    training = config["training"]
    languages = _listed([language_name(code) for code in training["languages"]])
    corpora = ", ".join(training["corpora"])
    text = (
        f"A model trained on {languages} ({corpora}; {training['utterances']} "
        f"utterances of {training['speakers']} speakers). It tells "
        f"{_listed(config['labels'])} apart by how something is said, and knows "
        "no other emotion and no words."
    )
    if training["standin"]:
        text += (
            "\n\n**Trained on synthetic speech, to try the program out: what it says of "
            "real speech means nothing.**"
        )
    return text


def trust(config: dict, threshold: float) -> str:
    """How far to trust the answers.

    Arguments
    ---------
    config : dict
        Of the exported model.
    threshold : float
        Below which an emotion is called unsure.

    Returns
    -------
    str
        Markdown.
    """
    result, calibration = config["result"], config["calibration"]
    language = language_name(result["language"])
    if config["training"]["standin"]:
        language = f"synthetic {language}"
    measured = result["all"] or result["test"]
    bounds, unit = shown_interval(measured)
    interval = (
        f"; 95 % interval over {unit} {bounds[0]:.0f} to {bounds[1]:.0f} %"
        if bounds
        else ""
    )
    return (
        f"**How far to trust it.** On {language} ({result['target']}, "
        f"{result['protocol']}, n = {measured['n']}) it named {measured['uar']:.0f} % of "
        f"each emotion's utterances rightly (mean over emotions, UAR{interval}; "
        f"guessing: {100 / len(config['labels']):.0f} %). "
        f"Its probabilities were off by {calibration['ece_target_after']:.0f} % there "
        f"(expected calibration error). Below {100 * threshold:.0f} % it says "
        f"*{UNSURE}*. Other languages, rooms, microphones and spontaneous speech may be "
        "harder. Each recording is judged by itself: nothing is adapted to those given, "
        "which would be another protocol than zero-shot.\n\n"
        "What a voice expresses is not what a person feels: not for judging people."
    )


def describe(result: Result, threshold: float) -> str:
    """An answer in words.

    Arguments
    ---------
    result : Result
        Of a recording.
    threshold : float
        Below which an emotion is called unsure.

    Returns
    -------
    str
        Markdown.

    Example
    -------
    >>> sad = Result("a.wav", 0.0, 2.5, "unsure", "sad", {"sad": 0.4, "angry": 0.3})
    >>> print(describe(sad, 0.5))
    ## unsure
    Most likely sad, at 40 %: below 50 % nothing is claimed. 2.5 s of audio.
    """
    share = f"{100 * result.probabilities[result.predicted]:.0f} %"
    if result.emotion == UNSURE:
        text = (
            f"Most likely {result.predicted}, at {share}: below {100 * threshold:.0f} % "
            "nothing is claimed."
        )
    else:
        text = f"Probability {share}."
    text = f"## {result.emotion}\n{text} {_duration(result.end)} of audio."
    if result.end > LONGEST:
        text += f" The mean over {len(result.timeline)} windows: see below."
    return text


def _nothing(text: str) -> tuple:
    return text, None, ""


def _no_answer(path: str, reason: str) -> tuple:
    return _nothing(f"## No answer\n{html.escape(Path(path).name)}: {reason}.")


def _listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min"
