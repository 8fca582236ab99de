"""Event files, read back by TensorBoard where it is installed and by a parser of our own."""

import errno
import fractions
import os
import shutil

import numpy as np
import pytest
from event_files import fields, quick_crc32c, records, scalars, slow_crc32c

from minicnn import Tensor
from minicnn.errors import ConfigError, OutputError
from minicnn.estimator import TensorBoardHook
from minicnn.estimator._events import EventWriter, crc32c


def test_crc32c_of_known_strings():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(b"") == 0
    assert crc32c(bytes(range(256))) == slow_crc32c(bytes(range(256)))
    assert quick_crc32c(bytes(range(256))) == slow_crc32c(bytes(range(256)))


def test_scalars_come_back(tmp_path):
    writer = EventWriter(tmp_path / "new", 1)
    writer.scalars(1, {"loss": 2.5, "größe/a": float("nan")})
    writer.scalars(300, {"loss": 1e-7})
    writer.scalars(2**40, {"x" * 200: -1.0})
    found = scalars(writer.path)
    writer.close()
    expected = [
        (1, "loss", 2.5),
        (1, "größe/a", float("nan")),
        (300, "loss", float(np.float32(1e-7))),
        (2**40, "x" * 200, -1.0),
    ]
    np.testing.assert_equal(found, expected)
    first, second, *_ = (fields(r) for r in records(writer.path))
    assert first[3] == [b"brain.Event:2"]
    assert abs(first[1][0] - writer.path.stat().st_mtime) < 60
    assert (second[2], fields(second[7][0])) == ([1], {1: [1]})


def test_two_writers_at_once_have_two_files(tmp_path):
    a, b = EventWriter(tmp_path, 1), EventWriter(tmp_path, 1)
    assert a.path != b.path
    a.close()
    b.close()


NUMBERS = {
    "float": (0.1, np.float32(0.1)),
    "a bool": (True, 1),
    "numpy's bool": (np.bool_(True), 1),
    "int64": (np.int64(-3), -3),
    "float16": (np.float16(0.5), 0.5),
    "an array without axes": (np.array(2.5), 2.5),
    "a Tensor": (Tensor(np.float32(7.0)), 7),
    "a fraction": (fractions.Fraction(1, 4), 0.25),
    "too large": (1e39, np.inf),
    "far too large": (-1e300, -np.inf),
    "100 digits": (10**100, np.inf),
    "400 digits": (10**400, np.inf),
    "5000 digits": (-(10**5000), -np.inf),
    "the largest": (float(np.finfo(np.float32).max), np.finfo(np.float32).max),
    "tiny": (1e-300, 0),
    "NaN": (float("nan"), np.nan),
    "infinity": (-np.inf, -np.inf),
}


def test_any_single_number_is_written(tmp_path):
    writer = EventWriter(tmp_path, 1)
    writer.scalars(1, {tag: value for tag, (value, _) in NUMBERS.items()})
    writer.close()
    assert [tag for _, tag, _ in scalars(writer.path)] == list(NUMBERS)
    expected = [number for _, number in NUMBERS.values()]
    np.testing.assert_equal([value for *_, value in scalars(writer.path)], expected)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "1.5",
        1j,
        np.zeros(2),
        np.zeros((1, 1)),
        [],
        [1.0],
        {},
        b"1",
        np.datetime64("2020"),
        {1},
    ],
)
def test_what_is_no_number_is_refused_by_its_tag(value, tmp_path):
    writer = EventWriter(tmp_path, 1)
    before = writer.path.read_bytes()
    with pytest.raises(
        ConfigError, match=r"TensorBoardHook: 'the tag' is .*; give a single number"
    ):
        writer.scalars(1, {"loss": 1.0, "the tag": value})
    writer.close()
    assert writer.path.read_bytes() == before


def test_any_text_is_a_tag(tmp_path):
    tags = ["", "a\0b", "\n", "ü", "\udc80", "x\ud800", "a" * 100_000, "\N{ROCKET}"]
    writer = EventWriter(tmp_path, 1)
    writer.scalars(1, dict.fromkeys(tags, 1.0))
    with pytest.raises(ConfigError, match="a tag is 7; give a string"):
        writer.scalars(1, {7: 1.0})
    writer.close()
    tags[4:6] = ["\\udc80", "x\\ud800"]
    assert [tag for _, tag, _ in scalars(writer.path)] == tags


@pytest.mark.parametrize("step", [0, -1, 2**63 - 1, -(2**63), np.int32(-5)])
def test_any_step_of_64_bits_is_written(step, tmp_path):
    writer = EventWriter(tmp_path, step)
    writer.scalars(step, {"loss": 1.0})
    writer.close()
    steps = [event[2][0] for event in map(fields, records(writer.path))]
    assert steps == [0] + 2 * [int(step) % 2**64]  # two's complement


@pytest.mark.parametrize("step", [2**63, -(2**63) - 1, 1.0, None, "1", 10**5000], ids=lambda _: "")
def test_other_steps_are_refused(step, tmp_path):
    with pytest.raises(ConfigError, match=r"a step is .*; give a whole number of 64 bits"):
        EventWriter(tmp_path, step)
    assert not os.listdir(tmp_path)
    writer = EventWriter(tmp_path, 1)
    with pytest.raises(ConfigError, match=r"a step is .*; give a whole number of 64 bits"):
        writer.scalars(step, {"loss": 1.0})
    writer.close()


def set_clock(monkeypatch, *seconds):
    """Let the clock show these times, then the last one for ever."""
    times = list(seconds)
    monkeypatch.setattr("time.time", lambda: times.pop(0) if len(times) > 1 else times[0])


def test_files_are_in_the_order_in_which_they_were_begun_though_the_clock_goes_back(
    tmp_path, monkeypatch
):
    made = []
    for now in (1e9, 1e9, 5e8, -5.0, 1e9 + 0.5, 2e9):
        set_clock(monkeypatch, now)
        made.append(EventWriter(tmp_path, 1))
    names = [writer.path.name for writer in made]
    assert names == sorted(names)
    assert names[0].startswith("events.out.tfevents.1000000000.")
    assert names[-1].startswith("events.out.tfevents.2000000000.")
    for writer in made:
        writer.close()


def test_odd_files_in_the_folder_do_not_matter(tmp_path, monkeypatch):
    set_clock(monkeypatch, 1e9)
    for name in ("events.out.tfevents.x", "events.out.tfevents.9999999999.host", "\udcff", "99"):
        (tmp_path / name).touch()
    writer = EventWriter(tmp_path, 1)
    assert writer.path.name.startswith("events.out.tfevents.9999999999.")
    writer.close()


def test_times_in_a_file_do_not_go_back(tmp_path, monkeypatch):
    set_clock(monkeypatch, 1e9, 1e9 + 1, 1e9 + 2, 1e9 + 5, 7.0, 1e9 + 9)
    writer = EventWriter(tmp_path, 1)
    for step in (1, 2, 3):
        writer.scalars(step, {"loss": 1.0})
    writer.close()
    times = [event[1][0] - 1e9 for event in map(fields, records(writer.path))]
    assert times == [0, 1, 5, 5, 9]


@pytest.mark.parametrize(
    ("host", "part"),
    [("a/b\\c\0ä:d", "a-b-c---d"), ("x" * 300, "x" * 64), ("", "host"), ("n.org", "n.org")],
)
def test_a_machine_may_have_any_name(host, part, tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: host)
    writer = EventWriter(tmp_path, 1)
    assert f".{part}.{os.getpid()}." in writer.path.name
    writer.close()


def test_folders_that_cannot_be_written_are_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(OutputError, match=f"cannot write {folder}: a file is where a folder "):
            EventWriter(folder, 1)

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(
        OutputError, match=r"tfevents.*: Permission denied; make it writable, or gi"
    ):
        EventWriter(tmp_path, 1)


@pytest.fixture
def full_after(monkeypatch):
    """A function: let a writer's file take so many more bytes, as a disk that becomes full does."""

    def restrict(appended, room):
        file = appended._file

        class Full:
            def write(self, content):
                nonlocal room
                if not room:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                written = file.write(content[:room])
                room -= written
                return written

            def __getattr__(self, name):
                return getattr(file, name)

        monkeypatch.setattr(appended, "_file", Full())

    return restrict


@pytest.mark.parametrize("room", [0, 1, 12, 40])
def test_a_full_disk_leaves_no_half_record(room, tmp_path, full_after):
    writer = EventWriter(tmp_path, 1)
    writer.scalars(1, {"loss": 1.0})
    full_after(writer._file, room)
    with pytest.raises(
        OutputError, match=f"cannot write {writer.path}: No space .*; make room, and"
    ):
        writer.scalars(2, {"loss": 1.0})
    writer.close()
    assert [step for step, *_ in scalars(writer.path)] == [1]


def test_a_log_that_is_deleted_is_begun_anew_unless_its_folder_is_gone(tmp_path):
    class Context:
        step, first_step, loss, learning_rate, metrics = 1, 0, 1.0, 0.1, {}

        def file_in_model_dir(self, *_):
            return tmp_path / "logs"

    hook, context = TensorBoardHook(every=1), Context()
    hook.begin(context)
    hook.after_step(context)
    (first,) = (tmp_path / "logs").iterdir()
    first.unlink()
    context.step = 2
    hook.after_step(context)
    (second,) = (tmp_path / "logs").iterdir()
    assert [step for step, *_ in scalars(second)] == [2, 2]
    shutil.rmtree(tmp_path / "logs")
    with pytest.raises(OutputError, match=r"cannot write .*logs: No such file"):
        hook.after_step(context)
    assert not (tmp_path / "logs").exists()
    hook.end(context)


@pytest.mark.filterwarnings("ignore")  # of a foreign package
def test_tensorboard_reads_odd_tags_and_numbers_and_beside_a_torn_file(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="needs the package tensorboard",
    )
    writer = EventWriter(tmp_path, 1)
    for step in range(1, 4):
        writer.scalars(step, {"loss": 1e39, "\udcff": 10**400, "": 1.0})
    writer.close()
    writer.path.write_bytes(writer.path.read_bytes()[:-5])  # the power was cut
    writer = EventWriter(tmp_path, 3)
    writer.scalars(3, {"loss": -1e39})
    writer.scalars(4, {"loss": 4.0})
    writer.close()
    events = accumulator.EventAccumulator(str(tmp_path), {"scalars": 0})
    events.Reload()
    found = [(e.step, e.value) for e in events.Scalars("loss")]
    assert found == [(1, np.inf), (2, np.inf), (3, -np.inf), (4, 4.0)]
    assert [e.value for e in events.Scalars("\\udcff")] == [np.inf, np.inf]
    assert [e.value for e in events.Scalars("")] == [1.0, 1.0]


@pytest.mark.filterwarnings("ignore")  # of a foreign package
def test_tensorboard_reads_it_and_forgets_what_is_done_again(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="needs the package tensorboard",
    )
    writer = EventWriter(tmp_path, 1)
    for step in range(1, 6):
        writer.scalars(step, {"loss": 10.0 + step})
    writer.close()
    writer = EventWriter(tmp_path, 4)  # resumed after step 3
    for step in range(4, 8):
        writer.scalars(step, {"loss": 20.0 + step})
    writer.close()
    events = accumulator.EventAccumulator(str(tmp_path), {"scalars": 0})
    events.Reload()
    found = [(e.step, e.value) for e in events.Scalars("loss")]
    assert found == [(s, 10.0 + s) for s in (1, 2, 3)] + [(s, 20.0 + s) for s in (4, 5, 6, 7)]
