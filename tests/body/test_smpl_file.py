"""SMPL's files are read under every name and in every form people have, and no file can run code."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import coo_matrix, csc_matrix, csr_matrix

from mocap.body.skeleton import PARENTS
from mocap.body.smpl_file import find_smpl, read_smpl
from mocap.errors import MocapError
from mocap.pickles import encode
from tests.body.small_body import Fields, python2_pickle, random_body
from tests.hostile_pickles import Hostile, payloads


def python3_pickle(fields: dict[str, Any], protocol: int = 4) -> bytes:
    return pickle.dumps(fields, protocol)


def npz(fields: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **fields)
    return stream.getvalue()


def with_sparse(kind: Callable[[Any], Any]) -> Callable[[Fields], bytes]:
    return lambda fields: python3_pickle({**fields, "J_regressor": kind(fields["J_regressor"])})


def npz_with_a_sparse_object(fields: Fields) -> bytes:
    boxed = np.empty((), object)
    boxed[()] = csc_matrix(fields["J_regressor"])
    return npz({**fields, "J_regressor": boxed})


FORMS: dict[str, Callable[[Fields], bytes]] = {
    "python 2": python2_pickle,
    "protocol 0": lambda fields: python3_pickle(fields, 0),
    "protocol 2": lambda fields: python3_pickle(fields, 2),
    "protocol 5": lambda fields: python3_pickle(fields, 5),
    "csc": with_sparse(csc_matrix),
    "csr": with_sparse(csr_matrix),
    "coo": with_sparse(coo_matrix),
    "npz": npz,
    "npz with a pickled matrix": npz_with_a_sparse_object,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_arrays(tmp_path: Path, form: str) -> None:
    fields = random_body()
    (tmp_path / "body.pkl").write_bytes(FORMS[form](fields))
    body = read_smpl(tmp_path / "body.pkl")
    for key in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights"):
        np.testing.assert_allclose(getattr(body, key), fields[key], atol=1e-7)
        assert getattr(body, key).dtype == np.float32
    np.testing.assert_array_equal(body.faces, fields["f"])


def test_the_first_ten_of_300_betas_are_kept(tmp_path: Path) -> None:
    fields = random_body(betas=300)
    (tmp_path / "body.pkl").write_bytes(python3_pickle(fields))
    np.testing.assert_allclose(read_smpl(tmp_path / "body.pkl").shapedirs, fields["shapedirs"][..., :10], atol=1e-7)


@pytest.mark.parametrize(
    ("name", "gender"),
    [
        ("SMPL_NEUTRAL.pkl", "neutral"),
        ("SMPL_MALE.npz", "male"),
        ("smpl/SMPL_FEMALE.pkl", "female"),
        ("basicModel_neutral_lbs_10_207_0_v1.0.0.pkl", "neutral"),
        ("basicmodel_m_lbs_10_207_0_v1.0.0.pkl", "male"),
        ("basicmodel_f_lbs_10_207_0_v1.1.0.pkl", "female"),
        ("models/basicmodel_m_lbs_10_207_0_v1.1.0.pkl", "male"),
        ("smpl/models/basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl", "neutral"),
    ],
)
def test_a_folder_is_searched_for_the_usual_names(tmp_path: Path, name: str, gender: str) -> None:
    wanted = tmp_path / name
    wanted.parent.mkdir(exist_ok=True, parents=True)
    wanted.write_bytes(npz(random_body()))
    (tmp_path / "SMPLX_NEUTRAL.npz").write_bytes(b"")
    assert find_smpl(tmp_path, gender) == wanted
    assert read_smpl(tmp_path, gender).v_template.shape == (60, 3)
    with pytest.raises(MocapError, match=r"expected SMPL_NEUTRAL.pkl.*found .*https://smpl"):
        find_smpl(tmp_path, {"neutral": "male", "male": "female", "female": "neutral"}[gender])


@pytest.mark.parametrize("gender", ["", "f", "Female", "feline", "1"])
def test_a_wrong_gender_raises(tmp_path: Path, gender: str) -> None:
    """Also where the file is named outright: a gender that is no gender came from a broken field."""
    (tmp_path / "SMPL_FEMALE.npz").write_bytes(npz(random_body()))
    for path in (tmp_path, tmp_path / "SMPL_FEMALE.npz"):
        with pytest.raises(MocapError, match=f"expected a gender of neutral, male, female; found '{gender}'"):
            read_smpl(path, gender)


@pytest.mark.parametrize("kind", payloads(Path("x")))
def test_hostile_pickles_raise_and_run_nothing(tmp_path: Path, kind: str) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(payloads(mark)[kind])
    with pytest.raises(MocapError, match="expected"):
        read_smpl(tmp_path / "SMPL_NEUTRAL.pkl")
    assert not mark.exists()


def test_the_payload_is_live(tmp_path: Path) -> None:
    """The plain pickle runs it: otherwise the test above could not fail."""
    pickle.loads(payloads(tmp_path / "mark")["os.system"])
    assert (tmp_path / "mark").exists()


def test_a_hostile_pickle_inside_an_npz_raises(tmp_path: Path) -> None:
    boxed = np.empty((), object)
    boxed[()] = Hostile(os.system, f"touch {tmp_path / 'mark'}")
    (tmp_path / "body.npz").write_bytes(npz({**random_body(), "J_regressor": boxed}))
    with pytest.raises(MocapError, match=r"names .*system"):
        read_smpl(tmp_path / "body.npz")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("module", ["chumpy.ch", "scipy.sparse.linalg"])
def test_chumpy_and_scipy_are_inert(tmp_path: Path, module: str) -> None:
    """A name in their packages is not looked up, so its call does nothing."""
    call = f"c{module}\nos\n".encode() + b"U\x02ls\x85R"
    (tmp_path / "body.pkl").write_bytes(b"\x80\x02}(U\x01x" + call + b"u.")
    with pytest.raises(MocapError, match="found no v_template"):
        read_smpl(tmp_path / "body.pkl")


def test_an_object_that_holds_no_array_raises(tmp_path: Path) -> None:
    """A chumpy expression that is neither a constant nor a selection cannot be evaluated without chumpy."""
    (tmp_path / "body.pkl").write_bytes(b"\x80\x02}(U\x01fcchumpy.ch\nadd\n)\x81u.")
    with pytest.raises(MocapError, match=r"body.pkl: expected SMPL.*found a add"):
        read_smpl(tmp_path / "body.pkl")


@pytest.mark.parametrize("named", [b"cscipy.sparse\ncsc_matrix\n", b"c_codecs\nencode\n"])
def test_a_pickle_cannot_change_what_the_next_one_meets(tmp_path: Path, named: bytes) -> None:
    """BUILD writes attributes onto anything named: a class's stand-in, or a function."""
    (tmp_path / "spoil.pkl").write_bytes(b"\x80\x02" + named + b"N}U\x0c__setstate__Ns\x86b0}.")
    with pytest.raises(MocapError, match=r"found no v_template|could not read"):
        read_smpl(tmp_path / "spoil.pkl")
    assert not hasattr(encode, "__setstate__")
    (tmp_path / "good.pkl").write_bytes(with_sparse(csc_matrix)(random_body()))
    assert read_smpl(tmp_path / "good.pkl").J_regressor.shape == (24, 60)


def test_sparse_indices_out_of_bounds_raise(tmp_path: Path) -> None:
    fields: dict[str, Any] = random_body()
    matrix = csc_matrix(fields["J_regressor"])
    matrix.indices[3] = 10_000_000
    (tmp_path / "body.pkl").write_bytes(python3_pickle({**fields, "J_regressor": matrix}))
    with pytest.raises(MocapError, match="could not read"):
        read_smpl(tmp_path / "body.pkl")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"J_regressor": np.ones((55, 60))}, "found 55"),
        ({"weights": np.ones((60, 23))}, r"weights of shape \(60, 24\), found \(60, 23\)"),
        ({"shapedirs": np.ones((60, 3, 4))}, "shapedirs"),
        ({"posedirs": np.ones((60, 3, 9))}, "posedirs"),
        ({"v_template": np.full((60, 3), np.nan)}, "finite"),
        ({"f": np.full((5, 3), 60)}, "found vertex 60"),
        ({"kintree_table": np.array([(-1, *PARENTS[:-1]), range(24)])}, "tree"),
    ],
)
def test_arrays_that_are_not_smpls_raise(tmp_path: Path, change: Fields, message: str) -> None:
    (tmp_path / "body.npz").write_bytes(npz({**random_body(), **change}))
    with pytest.raises(MocapError, match=message):
        read_smpl(tmp_path / "body.npz")


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x02]q\x00.", python2_pickle(random_body())[:4000]])
def test_broken_files_raise(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "body.pkl").write_bytes(content)
    with pytest.raises(MocapError, match=r"expected.*SMPL.*found list|could not read"):
        read_smpl(tmp_path / "body.pkl")


def test_no_file_raises(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match="found nothing"):
        read_smpl(tmp_path / "SMPL_NEUTRAL.pkl")
