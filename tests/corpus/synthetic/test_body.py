import numpy as np
import pytest

from harness.corpus.layout import MocapStream
from harness.corpus.synthetic.motion import BODIES, NOSE_TIP


@pytest.mark.parametrize("stream", MocapStream)
def test_a_body_has_the_columns_of_its_stream(stream):
    body = BODIES[stream]
    for columns in (body.rest, body.main_cue, body.faint_cue, body.jaw):
        assert columns.shape == (stream.num_columns,)
    assert len(body.header[1].split()) == stream.num_columns
    names = body.header[0].split()[2:]
    columns_of_a_name = 1 if stream is MocapStream.HEAD else 3
    assert len(names) == len(set(names))
    assert len(names) * columns_of_a_name == stream.num_columns


@pytest.mark.parametrize("stream", MocapStream)
def test_the_two_tells_move_in_different_directions(stream):
    body = BODIES[stream]
    main, faint = body.main_cue, body.faint_cue
    assert abs(main @ faint) < 0.3 * np.linalg.norm(main) * np.linalg.norm(faint)


def test_the_nose_tip_is_the_origin_and_is_never_lost():
    face = BODIES[MocapStream.FACE]
    assert face.header[0].split()[2 + NOSE_TIP] == "TNOSE"
    assert NOSE_TIP not in face.lost_markers and len(face.lost_markers) == 54
