"""The embeddings that a run keeps."""

import numpy as np
import pytest

from data_prep.errors import UserError
from data_prep.manifest import Row
from xser_brain.evaluation import embeddings


def row(name, **changes):
    values = {"language": "de", "speaker": "x-a", "emotion": "sad", **changes}
    return Row(
        ID=name, duration=1.0, wav="", sample_rate=16000, corpus="x",
        native_emotion="", split="train", **values,
    )  # fmt: skip


def test_there_and_back(tmp_path):
    target = [row("a"), row("b", emotion="happy", speaker="x-b")]
    train = [row("c", language="ur")]
    vectors = np.array([[1.0, 2.0], [3.0, 4.0]])
    embeddings.save(
        tmp_path,
        {
            "target": (target, {"ids": ["b", "a"], "embeddings": vectors}),
            "train": (train, {"ids": ["c"], "embeddings": vectors[:1]}),
        },
    )
    found = embeddings.load(tmp_path)
    assert found["ids"].tolist() == ["b", "a", "c"]
    assert found["part"].tolist() == ["target", "target", "train"]
    assert found["emotion"].tolist() == ["happy", "sad", "sad"]
    assert found["speaker"].tolist() == ["x-b", "x-a", "x-a"]
    assert found["language"].tolist() == ["de", "de", "ur"]
    assert found["embeddings"].tolist() == [[1, 2], [3, 4], [1, 2]]


def test_none_kept(tmp_path):
    assert embeddings.load(tmp_path) is None


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_damaged(tmp_path, keep):
    outputs = {"ids": ["a"], "embeddings": np.ones((1, 90))}
    embeddings.save(tmp_path, {"target": ([row("a")], outputs)})
    path = tmp_path / embeddings.NAME
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match="is damaged"):
        embeddings.load(tmp_path)


def test_spread_keeps_the_shares_of_corpora():
    rows = [row(f"a{i}") for i in range(60)] + [row(f"b{i}") for i in range(30)]
    names = [item.ID[0] for item in embeddings.spread(rows, 30)]
    assert (names.count("a"), names.count("b")) == (20, 10)
