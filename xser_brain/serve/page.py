"""The page: a recording in, an emotion, its probabilities and how far to trust it out."""

import functools
import html
import logging
import os
import threading
from collections.abc import Callable, Mapping
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
from xser_brain.reports.names import corpus_name
from xser_brain.serve import texts
from xser_brain.serve.access import visitor
from xser_brain.serve.limits import Limits
from xser_brain.serve.quota import Quota, QuotaError
from xser_brain.serve.segments import changes, segments, shares
from xser_brain.serve.texts import ENGLISH, TEXTS
from xser_brain.serve.timeline import draw_bars, draw_timeline
from xser_brain.serve.uploads import Uploads

logger = logging.getLogger(__name__)
TITLE, BLANK = TEXTS[ENGLISH]["title"], TEXTS[ENGLISH]["blank"]
MOST_VALUES = 2 * 96000  # a second, of all channels
OPENING = 10.0  # seconds that a recording may take to say what it is
# Nothing is fetched from anywhere: Gradio's own themes load their fonts from the web.
FONTS = {
    "font": ["system-ui", "sans-serif"],
    "font_mono": ["ui-monospace", "monospace"],
}
CSS = """
.answer h2 { margin: 0 }
.notice { font-size: 0.92em }
.timeline { width: 100%; height: 7rem; border-radius: 4px; display: block; margin: 0 !important }
.ends { display: flex; justify-content: space-between; font-size: 0.85em; margin: 0 !important }
.track { position: relative; cursor: pointer }
.playhead { position: absolute; top: 0; bottom: 0; width: 2px; background: #2b2f36; pointer-events: none; box-shadow: 0 0 0 1px #fff }
.key { display: flex; flex-wrap: wrap; gap: 0.2em 1em; margin: 0.3em 0 !important }
.key i, .segments i { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px; margin-right: 0.4em; vertical-align: -0.05em }
.segments { display: flex; flex-wrap: wrap; gap: 0.4em; list-style: none !important; margin: 0.6em 0 !important; padding: 0 !important }
.segments li { margin: 0 !important; padding: 0 !important }
.segments button { border: 1px solid var(--border-color-primary); border-radius: 6px; padding: 0.3em 0.6em; font-variant-numeric: tabular-nums; white-space: nowrap }
.segments .now button { outline: 2px solid currentcolor; outline-offset: -2px }
table.bars { width: 100%; border: 0 !important; border-collapse: collapse }
table.bars caption { text-align: left; font-size: 0.92em; opacity: 0.8; padding: 0.4em 0 }
table.bars tr, table.bars th, table.bars td { border: 0 !important; background: none !important; padding: 0.2em 0.6em 0.2em 0 !important }
table.bars th { font-weight: 500; text-align: left; white-space: nowrap; width: 1% }
table.bars td { width: 1%; white-space: nowrap; font-variant-numeric: tabular-nums; text-align: right !important }
table.bars td.bar { width: auto; text-align: left !important }
table.bars td.bar i { display: block; height: 1.1em; min-width: 2px; border-radius: 3px; box-shadow: inset 0 0 0 1px #0003 }
footer { display: none !important }
"""  # noqa: E501


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
        said = self._said(ENGLISH)
        with gradio.Blocks(title=TITLE, analytics_enabled=False) as blocks:
            head = gradio.Markdown(said["head"])
            with gradio.Row():
                with gradio.Column():
                    recording = without_urls(
                        gradio.Audio(
                            sources=["upload", "microphone"],
                            type="filepath",
                            label=said["recording"],
                            buttons=[],
                            elem_id="recording",
                        )
                    )
                    # The field above takes no video, whoever accepts them.
                    other = without_urls(
                        gradio.UploadButton(
                            said["other"], type="filepath", size="sm", elem_id="other"
                        )
                    )
                with gradio.Column():
                    answer = gradio.Markdown(
                        BLANK, elem_id="answer", elem_classes="answer"
                    )
                    # Not gradio.HTML, which builds scripts from strings, nor Label, whose
                    # bars have one colour; the HTML of these is ours.
                    bars = gradio.Markdown(elem_id="bars", sanitize_html=False)
            timeline = gradio.Markdown(elem_id="timeline", sanitize_html=False)
            named = []
            if self.examples:
                examples = gradio.Examples(
                    [[str(path)] for path in self.examples.values()],
                    recording,
                    label=said["examples"],
                    example_labels=list(self.examples),
                    cache_examples=False,
                    api_visibility="private",
                )
                named = [examples.dataset]
            foot = gradio.Markdown(said["foot"], elem_classes="notice")
            language, seconds = gradio.State(ENGLISH), gradio.State(0.0)
            claimed, shown = gradio.State(), [answer, bars, timeline]
            blocks.load(
                self.greet,
                None,
                [head, recording, other, answer, *named, foot, language],
                queue=False,
                show_progress="hidden",
                api_visibility="private",
            )
            for given, source in (
                (recording.change, recording),
                (other.upload, other),
            ):
                accepted = given(
                    self.accept,
                    [source, language],
                    [*shown, seconds, claimed],
                    queue=False,
                    show_progress="hidden",
                    api_visibility="private",
                )
                accepted.then(
                    self.answer,
                    [claimed, seconds, language],
                    shown,
                    show_progress_on=answer,
                    concurrency_id="answer",
                    api_visibility="private",
                )
        blocks.queue(
            default_concurrency_limit=self.limits.at_once,
            max_size=self.limits.waiting,
            api_open=False,
        )
        return blocks

    def _said(self, language: str) -> dict[str, str]:
        """What does not depend on a recording."""
        say = functools.partial(texts.text, language)
        config, name = self.classifier.config, self.classifier.name
        model = f"\n\n{say('model', name=name)}" if name else ""
        return {
            "head": f"# {say('title')}\n{notice(config, language)}",
            "recording": say(
                "recording",
                megabytes=self.limits.megabytes,
                duration=_duration(self.limits.seconds),
            ),
            "other": say("other"),
            "blank": say("blank"),
            "examples": say("examples"),
            "foot": trust(config, self.classifier.threshold, language) + model,
        }

    def greet(self, request: gradio.Request) -> tuple:
        """Say all of it in a visitor's language.

        Arguments
        ---------
        request : gradio.Request
            Who asks; see ``xser_brain.serve.texts.chosen``.

        Returns
        -------
        tuple
            Of all that says something, then the language.
        """
        language = texts.chosen(dict(request.query_params), dict(request.headers))
        said = self._said(language)
        named = [gradio.update(label=said["examples"])] if self.examples else []
        return (
            said["head"],
            gradio.update(label=said["recording"]),
            gradio.update(label=said["other"]),
            said["blank"],
            *named,
            said["foot"],
            language,
        )

    def accept(
        self,
        path: str | None,
        language: str = ENGLISH,
        request: gradio.Request | None = None,
    ) -> tuple:
        """Look at what a visitor sends, at once, whoever else is waiting.

        Arguments
        ---------
        path : str, optional
            The recording; none after it has been taken away.
        language : str
            The visitor's.
        request : gradio.Request, optional
            Who asks.

        Returns
        -------
        str, str, str, float, str or None
            Markdown, no bars, no time line, and for ``answer`` the recording's seconds,
            as far as is known, and the recording.
        """
        if path is None:
            return *_nothing(texts.text(language, "blank")), 0.0, None
        try:
            try:
                header = self._require_short(audio.probe(path, audio.DAY))
                self._count(path, request)
            except audio.UnknownFormatError as error:
                # To ask FFmpeg costs a process, and so a recording of the quota.
                self._count(path, request)
                header = self._require_short(self._ask_ffmpeg(path, error))
            claimed = str(self.uploads.claim(path))
            return (
                *_nothing(texts.text(language, "listening")),
                header.duration,
                claimed,
            )
        except (AudioError, QuotaError) as error:
            return *_no_answer(path, str(error), language), 0.0, None
        except OSError:
            reason = texts.text(language, "gone")
            return *_no_answer(path, reason, language), 0.0, None

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

    def _require_short(self, header: Header) -> Header:
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
        return header

    def answer(
        self,
        claimed: str | None,
        seconds: float = 0.0,
        language: str = ENGLISH,
        progress: gradio.Progress = gradio.Progress(),  # noqa: B008 # Gradio looks for it
    ) -> tuple:
        """Answer a visitor.

        Arguments
        ---------
        claimed : str, optional
            From ``accept``.
        seconds : float
            Length of the recording, or 0 where it is not known.
        language : str
            The visitor's.
        progress : gradio.Progress
            Where it is told how much is heard.

        Returns
        -------
        str, str, str
            Markdown, bars, and a time line with its segments.
        """
        if claimed is None:
            return gradio.skip(), gradio.skip(), gradio.skip()
        # Windows overlap by half, and what is short is heard as a whole besides.
        work = seconds * (3 if seconds <= LONGEST else 2)
        done = 0.0

        def heard(more: float) -> None:
            nonlocal done
            done += more
            share = min(1.0, done / work) if work else None
            progress(share, desc=texts.text(language, "listening"))

        try:
            heard(0.0)
            results = self.classifier.classify(
                [claimed],
                timeline=True,
                seconds=self.limits.answer_seconds,
                longest=self.limits.seconds,
                heard=heard,
            )
            result = next(results)
        except OutOfTime as error:
            return _no_answer(claimed, str(error), language)
        except Exception:
            logger.exception("a recording was not classified")
            reason = texts.text(language, "server")
            return _no_answer(claimed, reason, language)
        finally:
            self.uploads.release(Path(claimed))
        if result.error:
            return _no_answer(claimed, result.error, language)
        return self._shown(result, language)

    def _shown(self, result: Result, language: str) -> tuple[str, str, str]:
        """A result as text, bars and time line; a mixed one by its segments."""
        parts = segments(result) if len(result.timeline) > 1 else []
        kind, values = "bars", result.probabilities
        if changes(parts):
            kind, values = "time", shares(parts)
        title = texts.text(language, kind)
        bars = draw_bars(values, self.classifier.labels, title, language)
        line = draw_timeline(result, parts, language) if parts else ""
        return describe(result, self.classifier.threshold, language), bars, line


def notice(config: dict, language: str = ENGLISH) -> str:
    """What a visitor must know before anything else.

    Arguments
    ---------
    config : dict
        Of the exported model.
    language : str
        To say it in.

    Returns
    -------
    str
        Markdown.
    """
    training = config["training"]
    say = functools.partial(texts.text, language)
    found = say(
        "notice",
        languages=_all(language, texts.spoken, training["languages"]),
        corpora=TEXTS[language]["comma"].join(map(corpus_name, training["corpora"])),
        utterances=training["utterances"],
        speakers=training["speakers"],
        labels=_all(language, texts.emotion, config["labels"]),
    )
    return f"{found}\n\n**{say('standin')}**" if training["standin"] else found


def trust(config: dict, threshold: float, language: str = ENGLISH) -> str:
    """How far to trust the answers.

    Arguments
    ---------
    config : dict
        Of the exported model.
    threshold : float
        Below which an emotion is called unsure.
    language : str
        To say it in.

    Returns
    -------
    str
        Markdown.
    """
    say = functools.partial(texts.text, language)
    tell = _unheard if config.get("left_out") else _measured
    return say(
        "trust",
        figures=tell(config, language),
        threshold=f"{100 * threshold:.0f}",
        unsure=say("unsure"),
    )


def _measured(config: dict, language: str) -> str:
    """What the model itself got on its target."""
    result, say = config["result"], functools.partial(texts.text, language)
    heard = texts.spoken(language, result["language"])
    if config["training"]["standin"]:
        heard = say("synthetic", language=heard)
    measured = result["all"] or result["test"]
    bounds, unit = shown_interval(measured)
    interval = ""
    if bounds:
        low, high = (f"{bound:.0f}" for bound in bounds)
        interval = say("interval", unit=say(unit), low=low, high=high)
    return say(
        "measured",
        language=heard,
        target=corpus_name(result["target"]),
        protocol=result["protocol"],
        n=measured["n"],
        uar=f"{measured['uar']:.0f}",
        interval=interval,
        chance=f"{100 / len(config['labels']):.0f}",
        error=f"{config['calibration']['ece_target_after']:.0f}",
    )


def _unheard(config: dict, language: str) -> str:
    """What the like of it got on languages left out: it has itself heard its target."""
    figures = sorted(config["left_out"], key=lambda one: -one["uar"])
    own = [
        f"{texts.spoken(language, one['language'])} {one['uar']:.0f} %"
        for one in figures
    ]
    return texts.text(
        language,
        "unheard",
        uar=f"{sum(one['uar'] for one in figures) / len(figures):.0f}",
        chance=f"{100 / len(config['labels']):.0f}",
        figures=texts.listed(language, own),
    )


def describe(result: Result, threshold: float, language: str = ENGLISH) -> str:
    """An answer in words; of a recording whose emotion changes, by its segments.

    Arguments
    ---------
    result : Result
        Of a recording.
    threshold : float
        Below which an emotion is called unsure.
    language : str
        To say it in.

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
    say = functools.partial(texts.text, language)
    duration = say("audio", duration=_duration(result.end))
    parts = segments(result)
    if mixed := changes(parts):
        heading = " → ".join(texts.emotion(language, name) for name in mixed)
        told = TEXTS[language]["comma"].join(
            f"{texts.emotion(language, name)} {100 * share:.0f} %"
            for name, share in shares(parts).items()
        )
        return f"## {heading}\n{say('mixed', shares=told)} {duration}"
    share = f"{100 * result.probabilities[result.predicted]:.0f} %"
    if result.emotion == UNSURE:
        likely = texts.emotion(language, result.predicted)
        least = f"{100 * threshold:.0f} %"
        told = say("likely", emotion=likely, share=share, threshold=least)
    else:
        told = say("sure", share=share)
    found = f"## {texts.emotion(language, result.emotion)}\n{told} {duration}"
    if result.end > LONGEST:
        found += " " + say("windows", n=len(result.timeline))
    return found


def _nothing(text: str) -> tuple[str, str, str]:
    return text, "", ""


def _no_answer(path: str, reason: str, language: str) -> tuple[str, str, str]:
    name = html.escape(Path(path).name)
    return _nothing(f"## {texts.text(language, 'none')}\n{name}: {reason}.")


def _all(language: str, named: Callable[[str, str], str], values: list[str]) -> str:
    return texts.listed(language, [named(language, value) for value in values])


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min"
