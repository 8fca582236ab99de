"""Files of weights that ask for too much: each is refused by name, quickly, without the memory."""

from __future__ import annotations

import json
import os
import pickle
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from minicnn.errors import CheckpointError, ConfigError, MinicnnError
from minicnn.interop import _unpickling, pytorch, read_pytorch, read_weights, write_weights
from minicnn.interop._unpickling import Pending, Storage
from tests.interop.torch_files import archive, called, name, plain, program, tensor

NUMBERS = {"0": bytes(24)}


def refusal(tmp_path, content, kind=CheckpointError, seconds=5.0, mebibytes=64) -> str:
    """Read a file that must be refused; return what is said."""
    path = tmp_path / "weights.bin"
    path.write_bytes(content)
    tracemalloc.start()
    began = time.process_time()  # not the clock's: the machine may be busy with other tests
    try:
        with pytest.raises(kind) as caught:
            read_weights(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < seconds
    assert peak < mebibytes * 2**20
    text = str(caught.value)
    assert "weights.bin" in text
    assert len(text) < 3000
    assert text.isprintable()
    return text


def table(header, data=b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape, start, end, kind="F32"):
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


def one(shape, start, end, data=b"", kind="F32") -> bytes:
    return table({"a": entry(shape, start, end, kind)}, data)


class TestSafetensors:
    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (one([2**60], 0, 8, bytes(8)), "no array has"),
            (one([2**40], 0, 8, bytes(8)), "needs 4,398,046,511,104"),
            (one([2**32, 2**32], 0, 0), "no array has"),
            (one([2**62, 0, 4], 0, 0), "no array has"),
            (one([-1], 0, -4), "not described as an array"),
            (one([1] * 40, 0, 4, bytes(4)), "no array has"),
            (one([1.0], 0, 4, bytes(4)), "not described as an array"),
            (one([True], 0, 4, bytes(4)), "not described as an array"),
            (one([2], 4, 12, bytes(12)), "begins at 4, where 0 is next"),
            (one([2], 0, 8, bytes(12)), "12 bytes of numbers, its table says 8"),
            (one([2], 0, 8, bytes(4)), "4 bytes of numbers, its table says 8"),
            (one([2], 8, 0, bytes(8)), "has -8 bytes"),
            (one([2], 0, 2, bytes(2), "F8_E4M3"), "of type F8_E4M3, which NumPy has not"),
            (one([2], 0, 2, bytes(2), "\x1b[31m" * 9), "which NumPy has not"),
            (table({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)), "b begins at 4"),
            (table(b'{"a":1,"a":2}'), "a name stands twice"),
            (table(b'{"a":1}'), "not described as an array"),
            (table(b'{"\xff":1}'), "damaged"),
            (table(b'{"\x1b[31m' + b"n" * 9000 + b'":1}'), "damaged"),
            (table({"\x1b[31m" + "n" * 9000: 1}), "not described as an array"),
            (table(b'{"a":' + b"[" * 100_000), "too deep"),
            (struct.pack("<Q", 2**63) + b"{}", "its table would have 9,223,372,036,854,775,808"),
            (struct.pack("<Q", 100) + b"{}", "its table would have 100 bytes; there are 10"),
        ],
    )
    def test_what_no_table_says(self, tmp_path, content, says):
        assert says in refusal(tmp_path, content)

    def test_a_table_of_a_gigabyte(self, tmp_path):
        path = tmp_path / "weights.bin"
        with path.open("wb") as file:  # sparse: it takes no room on the disk
            file.write(struct.pack("<Q", 2**30) + b"{")
            file.truncate(2**31)
        with pytest.raises(CheckpointError, match="a table may have 16,777,216"):
            read_weights(path)

    def test_a_file_of_much_and_little(self, tmp_path):
        arrays = {"b": np.arange(3.0), "a": np.zeros((0, 2**40), "f2"), "é": np.ones((), "?")}
        write_weights(tmp_path / "w", arrays)
        found = read_weights(tmp_path / "w")
        assert list(found) == sorted(arrays)
        assert all(np.array_equal(found[k], arrays[k]) for k in arrays)

    def test_a_file_that_shrinks(self, tmp_path, monkeypatch):
        path = tmp_path / "weights.bin"
        path.write_bytes(one([4], 0, 16, bytes(16)))
        size = path.stat().st_size
        monkeypatch.setattr(os, "fstat", lambda descriptor: os.stat_result((0o100644, *[size] * 9)))
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(CheckpointError, match="became shorter while it was read"):
            read_weights(path)


def test_only_files_are_read(tmp_path):
    for read in (read_weights, read_pytorch):
        with pytest.raises(CheckpointError, match="is a folder, not a file"):
            read(tmp_path)
        with pytest.raises(CheckpointError, match=r"no: cannot be read \(No such file"):
            read(tmp_path / "no")
        with pytest.raises(CheckpointError, match="cannot be read"):
            read("a\0b")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(CheckpointError, match="empty: is empty"):
        read_weights(tmp_path / "empty")
    write_weights(tmp_path / "w", {"a": np.ones(2)})
    (tmp_path / "link").symlink_to("w")
    assert list(read_weights(tmp_path / "link")) == ["a"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(CheckpointError, match="is a pipe, not a file"):
            read_weights(tmp_path / "pipe")


def doubled(times: int) -> bytes:
    """The instructions of a tuple that holds a number 2**times times, and takes little room."""
    return b"K\1" + (pickle.PUT + b"0\n" + b"h\0" + pickle.TUPLE2).replace(b"p0\n", b"q\0") * times


class TestPickles:
    @pytest.mark.parametrize(
        ("value", "says"),
        [
            (plain({doubled(60): 1}), "as a key"),
            (pickle.EMPTY_SET + pickle.MARK + doubled(60) + pickle.ADDITEMS, "as a key"),
            (plain({2**61 - 1: 1}), "as a key"),
            (plain({plain((1, 2)): 1}), "as a key"),
            (plain(dict.fromkeys(range(20_001))), "more than 20,000 numbers as keys"),
            (plain({called(name("numpy", "dtype"), "f8"): 1}), "as a key"),
            (plain({name("torch", "Size"): 1}), "as a key"),
            (plain({pickle.EMPTY_LIST: 1}), "as a key"),
            (tensor(doubled(60), (1,)), "a tensor of shape"),
            (doubled(60) + pickle.BINPERSID, "no storage"),
            (called(doubled(60), 1), "a call of"),
            (tensor((1,) * 100, (1,) * 100), "a tensor of shape"),
            (pickle.EMPTY_LIST + pickle.MARK + pickle.APPEND, "a mark where a value"),
            (pickle.MARK + pickle.TUPLE1, "a mark where a value"),
            (plain(3) + plain(4) + pickle.APPEND, "no list where one is filled"),
            (plain({}) + plain({}) + pickle.BUILD, "no _Dict where one is filled"),
            (pickle.EMPTY_DICT + b"(K\1u", "a key without a value"),
            (name("torch", "Float\\lStorage"), "its pickle names"),
            (b"h\7", "KeyError"),
            (b"0" * 5, "IndexError"),
        ],
    )
    def test_a_program_that_keeps_python_busy_or_does_nonsense(self, tmp_path, value, says):
        content = archive(program({"w": tensor((2,), (1,)), "x": value}), NUMBERS)
        assert says in refusal(tmp_path, content)

    def test_a_deep_value_is_only_a_value(self, tmp_path):
        deep = pickle.EMPTY_TUPLE + pickle.TUPLE1 * 20_000
        path = tmp_path / "w.pth"
        path.write_bytes(archive(program({"w": tensor((2,), (1,)), "x": deep}), NUMBERS))
        assert list(read_pytorch(path)) == ["w"]

    def test_more_objects_than_there_is_memory_for(self, tmp_path, monkeypatch):
        monkeypatch.setattr(_unpickling, "_MOST_MEMORY", 2**20)
        content = archive(program({"x": pickle.EMPTY_SET * 5000}))
        assert "makes more than 1 MiB of objects" in refusal(tmp_path, content)

    def test_a_pickle_of_a_gigabyte(self, tmp_path, monkeypatch):
        monkeypatch.setattr(_unpickling, "_LONGEST", 1000)
        monkeypatch.setattr(pytorch, "_LONGEST_PICKLE", 1000)
        long = plain("x" * 2000)
        assert "more than 1,000 bytes" in refusal(tmp_path, archive(program({"x": long})))
        assert "more than 1,000 bytes" in refusal(tmp_path, program({"x": long}))

    def test_a_name_of_a_megabyte(self, tmp_path):
        content = program({"x": pickle.GLOBAL + b"torch\n" + b"n" * 2**20})
        assert "cut off" in refusal(tmp_path, archive(content))


class TestTensors:
    def test_many_that_repeat_one_number(self, tmp_path):
        """Four bytes, shown as a million numbers 500 times: 2 GB."""
        wide = {f"w{i}": tensor((2**20 - i,), (0,), count=1) for i in range(500)}
        text = refusal(tmp_path, archive(program(wide), {"0": bytes(4)}))
        assert "repeat few numbers often" in text

    def test_tied_weights_are_one_array(self, tmp_path):
        content = program({f"w{i}": tensor((2, 3), (3, 1)) for i in range(12)})
        path = tmp_path / "w.pth"
        path.write_bytes(archive(content, NUMBERS))
        assert len({id(w) for w in read_pytorch(path).values()}) == 1

    def test_shapes_that_python_looks_up_slowly(self, tmp_path):
        """All of their hashes are the same."""
        count = 20_000
        shapes = {f"w{i}": tensor((5 + i * (2**61 - 1),), (0,)) for i in range(count)}
        assert "reaches outside" in refusal(tmp_path, archive(program(shapes), NUMBERS), seconds=9)
        assert hash((5,)) == hash((5 + 2**61 - 1,))
        same = [("w", Pending(Storage("0", "f4", 6), 0, (2,), (1,)))] * 2
        assert pytorch._marks(same)[0] == pytorch._marks(same)[1]
        assert all(type(mark) is str for mark in pytorch._marks(same))

    @pytest.mark.parametrize("kind", ["BFloat16Storage", "FloatStorage"])
    def test_a_storage_is_read_once_for_all_its_views(self, tmp_path, monkeypatch, kind):
        calls = []
        elements = pytorch._elements
        monkeypatch.setattr(
            pytorch, "_elements", lambda *given: calls.append(given) or elements(*given)
        )
        bytes_each = 2 if kind == "BFloat16Storage" else 4
        views = {f"w{i}": tensor((1,), (1,), i, 6, kind) for i in range(6)}
        views["none"] = tensor((0, 3), (3, 1), 0, 0, kind, "absent")
        path = tmp_path / "w.pth"
        path.write_bytes(archive(program(views), {"0": bytes(6 * bytes_each)}))
        found = read_pytorch(path)
        assert len(calls) == 1
        assert found["none"].shape == (0, 3)
        assert {w.dtype for w in found.values()} == {np.dtype("f4")}

    def test_a_storage_of_two_types(self, tmp_path):
        views = {"a": tensor((6,), (1,)), "b": tensor((6,), (1,), kind="IntStorage")}
        text = refusal(tmp_path, archive(program(views), NUMBERS))
        assert "has elements of f4 and of i4" in text

    def test_numbers_of_600_digits_are_told_briefly(self, tmp_path):
        content = archive(program({"w": tensor((2**2030,) * 30, (0,) * 30)}), NUMBERS)
        assert len(refusal(tmp_path, content)) < 500
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(ConfigError, match="there is no key") as caught:
            read_pytorch(tmp_path / "w.pth", "no" * 9000)
        assert len(str(caught.value)) < 500

    @pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
    def test_numpys_scalars_are_passed_over(self, tmp_path, module):
        """As in ``torch.save({"state_dict": ..., "best": np.float64(0.5)})``."""
        dtype = called(name("numpy", "dtype"), "f8", False, True)
        dtype += plain((3, "<", None, None, None)) + pickle.BUILD
        raw = called(name("_codecs", "encode"), "\0\0", "latin1")
        tree = {"w": tensor((2,), (1,)), "best": called(name(module, "scalar"), dtype, raw)}
        path = tmp_path / "w.pth"
        path.write_bytes(archive(program(tree), NUMBERS))
        assert list(read_pytorch(path)) == ["w"]

    @pytest.mark.parametrize(
        "shape", [(0, 2**62, 2**62), (2**60, 0), (0, 2**70), (2**62, 4)], ids=str
    )
    def test_a_shape_that_fits_nothing(self, tmp_path, shape):
        content = program({"w": tensor(shape, (1,) * len(shape))})
        assert "reaches outside" in refusal(tmp_path, archive(content, NUMBERS))

    def test_two_of_one_name(self, tmp_path):
        content = program({1: tensor((2,), (1,)), "1": tensor((3,), (1,))})
        assert "the same name" in refusal(tmp_path, archive(content, NUMBERS))

    def test_names_are_shown_on_one_line(self, tmp_path):
        content = program({"\n\x1b[31m" + "n" * 5000: tensor((7,), (1,))})
        refusal(tmp_path, archive(content, NUMBERS))
        content = program({"a" * 5000 + "\n": 1})
        refusal(tmp_path, archive(content), MinicnnError)


class TestArchives:
    good = program({"w": tensor((2,), (1,))})

    def test_two_members_of_one_name(self, tmp_path):
        with pytest.warns(UserWarning, match="Duplicate name"):
            content = twice(self.good)
        assert "two files of one name" in refusal(tmp_path, content)

    def test_a_member_that_claims_a_gigabyte(self, tmp_path):
        content = archive(self.good, NUMBERS)
        at = content.index(b"PK\1\2")
        for field in (20, 24):  # what it has packed, what it has unpacked
            place = at + field
            changed = content[:place] + struct.pack("<I", 2**30) + content[place + 4 :]
            assert "claims 10737" in refusal(tmp_path, changed)

    def test_a_byte_that_is_not_what_was_written(self, tmp_path):
        content = archive(self.good, {"0": b"\7" * 24})
        text = refusal(tmp_path, content.replace(b"\7" * 24, b"\7" * 23 + b"\6"))
        assert "archive/data/0 is damaged (Bad CRC-32" in text

    def test_a_list_of_members_as_long_as_the_file(self, tmp_path, monkeypatch):
        content = archive(self.good, {str(i): b"" for i in range(200)})
        monkeypatch.setattr(pytorch, "_MOST_MEMBERS", 100)
        assert "more than 100 members" in refusal(tmp_path, content)
        monkeypatch.setattr(pytorch, "_LONGEST_LIST", 1000)
        assert "a list of members of" in refusal(tmp_path, content)


def twice(content: bytes) -> bytes:
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", content)
        file.writestr("archive/data.pkl", content)
    return buffer.getvalue()


def test_old_files_name_their_storages(tmp_path):
    heads = [pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    tree = program({"w": tensor((2,), (1,))})
    keys = pickle.PROTO + b"\2" + pickle.EMPTY_LIST + doubled(60) + pickle.APPEND + b"."
    content = b"".join([*heads, tree, keys, struct.pack("<q", 6), bytes(24)])
    assert "a storage is called" in refusal(tmp_path, content)
