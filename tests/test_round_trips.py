"""Records that one process writes and another reads: the same, whatever they hold."""

import json
from dataclasses import fields, replace
from enum import StrEnum

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.codec import from_plain
from harness.corpus.utterances import Emotion, Utterance
from harness.features.manifest import Manifest, read_utterances, utterance_to_json
from harness.features.text import read_word_vectors
from harness.files import write_json
from harness.models.systems import SYSTEMS
from harness.search.keys import read_json_object
from harness.search.space import read_search_space, space_from_json
from harness.splits.protocol import MOST_WORDS, PROTOCOLS, Protocol
from harness.store.trial_spec import TrialSpec
from harness.training.trial import read_job
from tests.features.test_manifest import MANIFEST

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
COUNT = st.integers(0, 2**63 - 1)
NUMBER = st.floats(0, 1e6)
PROTOCOL = st.sampled_from(list(PROTOCOLS.values())).flatmap(
    lambda base: st.fixed_dictionaries(
        {},
        optional={
            field.name: st.sampled_from(list(type(getattr(base, field.name))))
            for field in fields(base)
            if isinstance(getattr(base, field.name), StrEnum)
        }
        | {"max_words": st.integers(1, MOST_WORDS), "name": TEXT},
    ).map(lambda choices: replace(base, **choices))
)


@FEW
@given(protocol=PROTOCOL)
def test_a_protocol(protocol):
    assert from_plain(Protocol, json.loads(json.dumps(protocol.to_json()))) == protocol


@FEW
@given(protocol=PROTOCOL, counts=st.lists(COUNT, min_size=6, max_size=6), names=st.lists(TEXT, min_size=2, max_size=2))
def test_a_trials_spec(tmp_path, protocol, counts, names):
    spec = TrialSpec(
        *counts[:4],
        system=names[0],
        protocol=protocol,
        prepared_dir=tmp_path / "prepared" / "it's here",
        results_db=tmp_path / "results.db",
        max_epochs=counts[4],
        patience=None if counts[5] % 2 else counts[5],
        threads=1,
    )
    spec.write(tmp_path / "7.trial.json")
    assert TrialSpec.read(tmp_path / "7.trial.json") == spec


UTTERANCE = st.builds(
    Utterance,
    utterance_id=st.integers(0, 999).map(lambda number: f"Ses03M_impro08b_F{number:03}"),
    emotion=st.sampled_from(Emotion),
    valence=NUMBER | st.just(float("nan")),
    activation=NUMBER,
    dominance=NUMBER,
    start=NUMBER | st.just(float("nan")),
    end=NUMBER,
    transcript=st.none() | TEXT,
    wav_path=st.none() | TEXT,
    num_mocap_rows=COUNT,
)


@FEW
@given(utterances=st.lists(UTTERANCE, max_size=4))
def test_a_sessions_utterances(tmp_path, utterances):
    path = tmp_path / "utterances.jsonl"
    lines = [json.dumps(utterance_to_json(utterance), ensure_ascii=False) + "\n" for utterance in utterances]
    path.write_bytes("".join(lines).encode())
    assert repr(read_utterances(path)) == repr(tuple(utterances))


@FEW
@given(corpus_path=TEXT, versions=st.dictionaries(TEXT, TEXT, max_size=3))
def test_a_manifest(tmp_path, corpus_path, versions):
    manifest = replace(MANIFEST, corpus_path=corpus_path, versions=versions)
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest


WORDS = st.lists(
    st.text(st.characters(categories=["Ll", "Lo"]), min_size=1, max_size=8),
    min_size=3,
    max_size=6,
    unique=True,
)

NUMBERS = arrays(np.float32, (6, 4), elements=st.floats(-100, 100, width=32))


@FEW
@given(words=WORDS, numbers=NUMBERS, is_binary=st.booleans())
def test_word_vectors_that_gensim_wrote(tmp_path, words, numbers, is_binary):
    vectors = KeyedVectors(vector_size=4)
    vectors.add_vectors(words, numbers[: len(words)])
    path = tmp_path / ("vectors.bin" if is_binary else "vectors.txt")
    vectors.save_word2vec_format(str(path), binary=is_binary)
    found = read_word_vectors(path, words[1:])
    assert set(found.index_to_key) == set(words[1:])
    for word in words[1:]:
        assert found[word] == pytest.approx(vectors[word], abs=1e-5)


BOUNDS = st.lists(st.integers(1, 500), min_size=2, max_size=2).map(sorted)
ENTRIES = st.tuples(
    st.fixed_dictionaries(
        {"name": st.just("textlstm"), "range": BOUNDS, "type": st.just("int"), "step": st.integers(1, 9)}
    ),
    st.fixed_dictionaries(
        {
            "name": st.just("adamlr"),
            "range": BOUNDS.map(lambda bounds: [bound / 1000 for bound in bounds]),
            "type": st.just("float"),
            "log": st.booleans(),
        }
    ),
    st.just({"name": "gates", "range": ["sigmoid", "hard_sigmoid"], "type": "choice"}),
)


@FEW
@given(entries=ENTRIES, seed=st.integers(0, 2**32))
def test_a_search_space_and_a_job(tmp_path, entries, seed):
    write_json(tmp_path / "space.json", {"parameter_config": entries})
    held = read_json_object(tmp_path / "space.json", "search space")
    space = read_search_space(held["parameter_config"], "search space", SYSTEMS["fusion"])
    assert space_from_json(json.loads(json.dumps(space.to_json()))) == space
    point = space.draw(np.random.default_rng(seed))
    for entry in entries[:2]:
        assert entry["range"][0] <= point[entry["name"]] <= entry["range"][1]
    write_json(tmp_path / "7.json", {**point, "job_id": 7})
    assert read_job(tmp_path / "7.json") == point
