"""Put an exported model, with its card, on the Hugging Face hub.

What is pushed is written again from the model's weights and configuration: known files
only, without a path of this machine. It is loaded before anything is sent, and sent as
one commit, so that a reader finds all of it or what was there before.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import safetensors.torch
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    get_token,
    snapshot_download,
)

# Of the client's HTTP library, which is another one in each of its major versions.
from huggingface_hub.errors import HTTPError
from huggingface_hub.utils import HFValidationError, validate_repo_id

from data_prep.errors import UserError
from xser_brain.encoders.weights import HUB_NAME, SETTINGS, is_revision
from xser_brain.inference import config as schema
from xser_brain.inference.loading import load
from xser_brain.models.card import MAIN
from xser_brain.models.export import FILES, located, write

ANSWERS = (HTTPError, OSError, RuntimeError, ValueError)  # what a failed request raises
LOGIN = "log in with `hf auth login`, or set HF_TOKEN"


def check_names(repo: str, revision: str = MAIN, licence: str = "other") -> None:
    """Refuse a repository, branch or licence that the hub would refuse.

    Example
    -------
    >>> check_names("me/xser-english-to-german")
    >>> check_names("xser-english-to-german")
    Traceback (most recent call last):
        ...
    data_prep.errors.UserError: --repo=xser-english-to-german: write it as OWNER/NAME
    """
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--repo is not the name of a repository ({reason})") from error
    if "/" not in repo or not HUB_NAME.fullmatch(repo):
        raise UserError(f"--repo={repo}: write it as OWNER/NAME")
    if not re.fullmatch(r"\w[\w./-]*", revision):
        raise UserError(
            f"--revision={revision} is not the name of a branch: write it as v1"
        )
    if not re.fullmatch(r"[a-z0-9.-]+", licence):
        raise UserError(
            f"--licence={licence} is not a licence of the hub: write it as cc-by-nc-sa-4.0"
        )


def encoder_name(text: str) -> tuple[str, str | None]:
    """Read ``NAME`` or ``NAME@REVISION`` of an encoder on the hub.

    Example
    -------
    >>> encoder_name("openai/whisper-base@main")
    ('openai/whisper-base', 'main')
    """
    name, at, revision = text.partition("@")
    if not HUB_NAME.fullmatch(name) or (at and not is_revision(revision)):
        raise UserError(
            f"--encoder={text} is not a name on the hub: write it as openai/whisper-base, "
            "or with @ and a revision behind it"
        )
    return name, revision or None


def assemble(
    source: Path,
    folder: Path,
    repo: str,
    *,
    revision: str = MAIN,
    licence: str = "other",
    whole: bool = False,
    encoder: tuple[str, str | None] | None = None,
    encoder_source: str | None = None,
    offline: bool = False,
) -> None:
    """Write a model as it is published, and load it.

    Arguments
    ---------
    source : Path
        The model's folder; one that is whole stays whole.
    folder : Path
        Where to; replaced if it exists.
    repo, revision, licence : str
        Of what is published.
    whole : bool
        Whether the pretrained encoder is put in.
    encoder : (str, str or None), optional
        Name and revision on the hub from which anyone gets the pretrained encoder, if
        not from where it was in training.
    encoder_source : str, optional
        Where the pretrained encoder is here, if it has moved since training.
    offline : bool
        Whether an encoder of the hub is only looked for on this machine.

    Raises
    ------
    UserError
        If the model is damaged, cannot be written, or would hold a path.
    """
    facts = schema.read(source)["encoder"]
    included = facts.get("included", False)
    whole = whole or included
    if "source" not in facts and encoder:
        raise UserError(
            f"the model in {source} has no pretrained encoder: no --encoder"
        )
    local = Path(facts.get("source", "")).is_absolute()
    if local and not (whole or encoder):
        raise UserError(
            f"the pretrained encoder is a folder of this machine ({facts['source']}): "
            "pass --whole to publish it too, or --encoder=NAME, where it is on the hub"
        )
    if offline and not (encoder_source or included or local) and "source" in facts:
        encoder_source = _cached(facts["source"], facts["revision"])
    pretrained = located(source, facts, encoder_source)
    inside = included and not encoder_source
    elsewhere = str(pretrained) if pretrained and not inside else None
    _, config = load(source, elsewhere)
    if encoder or local:
        named = encoder or (_plain(Path(facts["source"]).name), None)
        config["encoder"]["source"], config["encoder"]["revision"] = named
    tensors = safetensors.torch.load_file(source / schema.WEIGHTS)
    of_card = {"repo": repo, "revision": revision, "licence": licence}
    write(folder, config, tensors, pretrained if whole else None, **of_card)
    for name in contents(folder):
        if name.endswith(".json"):
            _refuse_paths(folder / name)
    load(folder, None if whole else elsewhere)


def contents(folder: Path) -> dict[str, int]:
    """Bytes by name of what is published of a folder: a model's files, no others."""
    return {
        name: (folder / name).stat().st_size
        for name in FILES
        if (folder / name).is_file()
    }


def replace(staged: Path, folder: Path) -> None:
    """Move a folder from ``assemble``, on the same disk, to the place of another.

    ``export.require_replaceable`` says which one; UserError if it cannot be written.
    """
    try:
        if folder.exists():
            shutil.rmtree(folder)
        staged.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error


def require_token() -> str:
    """The hub's token; UserError if there is none."""
    token = get_token()
    if not token:
        raise UserError(f"no token of the hub on this machine: {LOGIN}")
    return token


def push(
    folder: Path,
    repo: str,
    *,
    revision: str = MAIN,
    private: bool = False,
    encoder: tuple[str, str | None] | None = None,
    origin: str = "",
) -> tuple[str, bool]:
    """Send a model in one commit, which is there whole or not at all.

    Arguments
    ---------
    folder : Path
        From ``assemble``.
    repo, revision : str
        Where to; made if it is not there. Files of a model that is there and that this
        one does not have, as those of an encoder, go; others stay.
    private : bool
        Whether only its owner may see it; UserError if an existing one is public.
    encoder : (str, str or None), optional
        Must be on the hub.
    origin : str
        ``NAME@COMMIT`` of a model of the hub that is published again; stands in the
        commit's message.

    Returns
    -------
    str
        Its address.
    bool
        Whether anything was changed.
    """
    api = HfApi(token=require_token())
    committing = False
    try:
        if encoder:
            _require_encoder(api, *encoder)
        # Without a word on it, an owner's own default decides.
        api.create_repo(repo, exist_ok=True, **({"private": True} if private else {}))
        if private and not api.model_info(repo).private:
            raise UserError(
                f"{repo} is public: make it private in its settings, or leave --private "
                "out; nothing was published"
            )
        if revision != MAIN:
            api.create_branch(repo, branch=revision, exist_ok=True)
        before = api.model_info(repo, revision=revision)
        names = contents(folder)
        there = {file.rfilename for file in before.siblings or ()}
        removed = [CommitOperationDelete(n) for n in FILES if n in there - names.keys()]
        added = [CommitOperationAdd(name, folder / name) for name in names]
        api.preupload_lfs_files(repo, added, revision=revision, free_memory=False)
        committing = True
        commit = api.create_commit(
            repo,
            [*removed, *added],
            commit_message="Model of xser" + (f", from {origin}" if origin else ""),
            revision=revision,
        )
    except UserError:
        raise
    except ANSWERS as error:
        raise _failed(error, api.endpoint, repo, committing) from error
    branch = "" if revision == MAIN else f"/tree/{revision}"
    return f"{api.endpoint}/{repo}{branch}", commit.oid != before.sha


def _cached(name: str, revision: str | None) -> str:
    """An encoder of the hub that is on this machine."""
    files = [*SETTINGS, "*.safetensors"]
    try:
        return snapshot_download(
            name, revision=revision, allow_patterns=files, local_files_only=True
        )
    except ANSWERS as error:
        raise UserError(
            f"the encoder {name} is not in the cache of this machine, and a dry run asks "
            "nobody for it: pass --encoder_source=DIR with a copy of it"
        ) from error


def _require_encoder(api: HfApi, name: str, revision: str | None) -> None:
    try:
        api.model_info(name, revision=revision)
    except ANSWERS as error:
        if _status(error) != 404:
            raise
        at = f"@{revision}" if revision else ""
        raise UserError(
            f"--encoder={name}{at} is not on the hub: name where anyone gets the encoder, "
            "or pass --whole; nothing was published"
        ) from error


def _plain(name: str) -> str:
    """A name that ``config.json`` may hold: ``my-encoder`` for ``_my encoder``."""
    return re.sub(r"^[^A-Za-z0-9]+", "", re.sub(r"[^\w.-]+", "-", name)) or "encoder"


def _refuse_paths(path: Path) -> None:
    for text in _strings(json.loads(path.read_text("utf-8"))):
        if Path(text).is_absolute():
            raise UserError(
                f"{path.name} would publish a path of this machine ({text:.200}): take it "
                "out of the encoder's, and pass its folder as --encoder_source=DIR"
            )


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)


def _causes(error: BaseException) -> list[BaseException]:
    return [error, *_causes(error.__cause__)] if error.__cause__ else [error]


def _status(error: BaseException) -> int | None:
    """Of the hub's answer; None if there was none."""
    responses = [getattr(cause, "response", None) for cause in _causes(error)]
    return next((r.status_code for r in responses if r is not None), None)


def _failed(error: Exception, endpoint: str, repo: str, committing: bool) -> UserError:
    """What a failed request means, in a line."""
    said = [" ".join(str(cause).split())[:200] for cause in _causes(error)]
    status = _status(error)
    if status == 401:
        return UserError(
            f"{endpoint} does not take the token: {LOGIN}; nothing was published"
        )
    if status == 403:
        return UserError(
            f"{endpoint} does not let this token write to {repo}: name a repository of "
            "your own, and use a token with the right to write; nothing was published"
        )
    if status and status < 500:
        return UserError(f"{endpoint} refuses ({said[0]}); nothing was published")
    what = "nothing was published"
    if committing and not status:
        what = f"it is not known whether {repo} was published"
    return UserError(
        f"{endpoint} does not answer as it should ({': '.join(dict.fromkeys(said))}): "
        f"{what}; the same command goes on from there"
    )
