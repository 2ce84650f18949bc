"""Manifests as Hugging Face ``datasets``."""

from pathlib import Path

from data_prep import manifest
from data_prep.exchange import require, with_audio, writing

NUMBERS = {"duration": "float64", "sample_rate": "int32"}
PARTS = {"train": "train", "valid": "validation", "test": "test"}


def to_datasets(
    path: Path, data_root: Path, sample_rate: int | None = None, decode: bool = True
):
    """Load a manifest as a ``datasets.DatasetDict``.

    The columns are those of the manifest, and ``audio``, which is read when it is asked
    for. Utterances whose audio is not on disk are left out.

    Arguments
    ---------
    path : Path
        The manifest.
    data_root : Path
        Where the corpora lie.
    sample_rate : int, optional
        Hz, to resample to; by default each file has its own.
    decode : bool
        Whether ``datasets`` shall decode the audio, for which it needs ``torchcodec``;
        otherwise ``audio`` gives the path of the file.

    Returns
    -------
    datasets.DatasetDict
        With the parts ``train``, ``validation`` and ``test``, as far as there are any.

    Raises
    ------
    UserError
        If the manifest cannot be read, or ``datasets`` is not installed.
    """
    datasets = require("datasets")
    with_audio(path, data_root)  # refuses what cannot be loaded
    kinds = {column: NUMBERS.get(column, "string") for column in manifest.COLUMNS}
    rows = datasets.load_dataset(
        "csv",
        data_files=str(path),
        split="train",
        features=datasets.Features(
            {column: datasets.Value(kind) for column, kind in kinds.items()}
        ),
        keep_default_na=False,
    ).filter(lambda rate: rate > 0, input_columns="sample_rate")
    home = str(Path(data_root).absolute())
    audio = [wav.replace(manifest.DATA_ROOT, home, 1) for wav in rows["wav"]]
    rows = rows.add_column("audio", audio).cast_column(
        "audio", datasets.Audio(sampling_rate=sample_rate, decode=decode)
    )
    splits = list(rows["split"])
    return datasets.DatasetDict(
        {
            part: rows.select([i for i, s in enumerate(splits) if s == split])
            for split, part in PARTS.items()
            if split in splits
        }
    )


def write(path: Path, data_root: Path, save_folder: Path) -> Path:
    """Save a manifest, with the audio, as ``datasets.load_from_disk`` reads it.

    Arguments
    ---------
    path : Path
        The manifest.
    data_root : Path
        Where the corpora lie.
    save_folder : Path
        The data set is the folder in it that is named as the corpus.

    Returns
    -------
    Path
        The data set.

    Raises
    ------
    UserError
        As ``to_datasets``, and if the folder cannot be written to.
    """
    folder = Path(save_folder) / Path(path).stem
    with writing(folder):
        to_datasets(path, data_root).save_to_disk(str(folder))
    return folder
