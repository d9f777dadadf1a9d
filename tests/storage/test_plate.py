from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yaozarrs import validate_zarr_store

from phenoloop.errors import StorageError
from phenoloop.model import FrameAddress, Plan
from phenoloop.ports import Image
from phenoloop.storage.plate import PlateStore
from phenoloop.storage.under_way import IN_FLIGHT
from tests.storage.builders import address, frame, picture, plan
from tests.storage.writer_process import visits

SHAPE = (16, 24)


def new(folder: Path, plan_: Plan | None = None, shape: tuple[int, int] = SHAPE, dtype: str = "uint16") -> PlateStore:
    return PlateStore(folder / "main.ome.zarr", plan_ or plan(), "main", shape, dtype)


def write(store: PlateStore, *addresses: FrameAddress) -> list[tuple[FrameAddress, str]]:
    """Write the picture of each address and return what could not be kept."""
    for at in addresses:
        store.write(frame(at), picture(at, store.layout.shape, store.layout.dtype.name))
    return [failure for visit in {at.visit for at in addresses} for failure in store.settle(visit)]


def length(store: PlateStore, well: str, image: int = 0) -> int:
    header = json.loads((store.folder / well / str(image) / "0" / "zarr.json").read_bytes())
    return int(header["shape"][0])


# -- what is kept -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "dtype", "chunks"),
    [
        pytest.param((16, 24), "uint16", 1, id="small"),
        pytest.param((17, 23), "uint8", 1, id="odd, 8 bit"),
        pytest.param((1024, 1024), "uint16", 1, id="one tile"),
        pytest.param((1080, 1300), "uint16", 4, id="four equal tiles"),
        pytest.param((8, 2049), "uint32", 3, id="wide, 32 bit"),
    ],
)
def test_a_frame_comes_back_bit_for_bit(tmp_path: Path, shape: tuple[int, int], dtype: str, chunks: int) -> None:
    store = new(tmp_path, shape=shape, dtype=dtype)
    at = address()
    assert store.read(at) is None
    assert not write(store, at)
    back = store.read(at)
    assert back is not None
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, picture(at, shape, dtype))
    files = [path for path in (store.folder / "A/1/0/0/c").rglob("*") if path.is_file()]
    assert len(files) == chunks
    assert store.read(address(c=1)) is None


def test_a_dark_frame_is_stored_and_a_missing_one_is_not(tmp_path: Path) -> None:
    store = new(tmp_path)
    store.write(frame(address()), np.zeros(SHAPE, np.uint16))
    assert not store.settle(1)
    assert store.stored(address())
    assert not store.stored(address(c=1))
    dark = store.read(address())
    assert dark is not None
    assert not dark.any()
    assert store.count_stored() == 1


def test_a_view_and_a_transposed_frame_are_stored_as_they_look(tmp_path: Path) -> None:
    store = new(tmp_path)
    big = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
    store.write(frame(address()), big[::3, 1:49:2])
    store.write(frame(address(c=1)), big[:24, :16].T)
    assert not store.settle(1)
    np.testing.assert_array_equal(store.read(address()), big[::3, 1:49:2])
    np.testing.assert_array_equal(store.read(address(c=1)), big[:24, :16].T)


def test_planes_have_an_axis_of_their_own(tmp_path: Path) -> None:
    stack = plan(z_offsets_um=(-1.0, 0.0, 1.0))
    store = new(tmp_path, stack)
    every = [address(c=c, z=z) for c in range(2) for z in range(3)]
    assert not write(store, *every)
    for at in every:
        np.testing.assert_array_equal(store.read(at), picture(at))
    store.write_labels("nuclei", every[0], np.full(SHAPE, 7, np.int32))
    store.close()
    validate_zarr_store(str(store.folder))
    header = json.loads((store.folder / "A/1/0/0/zarr.json").read_bytes())
    assert header["dimension_names"] == ["t", "c", "z", "y", "x"]
    assert header["shape"] == [1, 2, 3, *SHAPE]
    scale = json.loads((store.folder / "A/1/0/zarr.json").read_bytes())["attributes"]["ome"]["multiscales"][0]
    assert scale["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": [1, 1, 1, 0.65, 0.65]}]


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_wells_in_any_order_with_revisits_hold_what_was_written(data: st.DataObject) -> None:
    wells = [well.name for well in plan().wells]
    step = st.tuples(st.sampled_from(wells), st.sampled_from("012"), st.sets(st.integers(0, 1)))
    steps = data.draw(st.lists(step, min_size=1, max_size=10))
    images: dict[str, list[str]] = {}
    times: dict[tuple[str, str], int] = {}
    kept, planned = set(), set()
    with tempfile.TemporaryDirectory() as folder:
        store = new(Path(folder))
        for number, (well, field, channels) in enumerate(steps, 1):
            known = images.setdefault(well, [])
            if field not in known:
                known.append(field)
            t = times[well, field] = times.get((well, field), -1) + 1
            both = [address(well, field, visit=number, t=t, c=c, image=known.index(field)) for c in range(2)]
            assert not write(store, *(at for at in both if at.c in channels))
            if not channels:
                store.ensure_field(both[0])
            kept |= {at for at in both if at.c in channels}
            planned |= set(both)
            validate_zarr_store(str(store.folder))
        store.close()
        validate_zarr_store(str(store.folder))
        again = PlateStore.open(store.folder, plan(), "main")
        for one in (store, again):
            assert one.count_stored() == len(kept)
            for at in planned:
                back = one.read(at)
                assert (back is not None) == (at in kept)
                if back is not None:
                    np.testing.assert_array_equal(back, picture(at))
        longest = max(times.values()) + 1
        every = [length(store, f"{well[0]}/{well[1:]}", image) for well in images for image in range(len(images[well]))]
        assert set(every) == {longest}


def test_the_metadata_say_where_what_and_how_large(tmp_path: Path) -> None:
    store = PlateStore(tmp_path / "p.ome.zarr", plan(), "main", SHAPE, "uint16", bit_depth=12)
    write(store, address("C2", "3"))
    attributes = json.loads((store.folder / "C/2/0/zarr.json").read_bytes())["attributes"]
    assert attributes["phenoloop"] == {"well": "C2", "field": "3", "x_um": 300.0, "y_um": -3.5}
    channels = attributes["ome"]["omero"]["channels"]
    assert [channel["label"] for channel in channels] == ["DNA", "GFP"]
    assert {channel["window"]["max"] for channel in channels} == {4095}
    scales = attributes["ome"]["multiscales"][0]
    assert scales["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": [1, 1, 0.65, 0.65]}]
    assert [axis.get("unit") for axis in scales["axes"]] == [None, None, "micrometer", "micrometer"]
    plate = json.loads((store.folder / "zarr.json").read_bytes())["attributes"]["ome"]["plate"]
    assert plate["wells"] == [{"path": "C/2", "rowIndex": 2, "columnIndex": 1}]
    assert [row["name"] for row in plate["rows"]] == ["A", "B", "C", "D"]
    assert [column["name"] for column in plate["columns"]] == ["1", "2", "3", "4", "5", "6"]


def test_a_1536_well_plate_has_rows_of_two_letters(tmp_path: Path) -> None:
    store = new(tmp_path, plan(rows=32, columns=48, wells=[(31, 47), (26, 0)]))
    assert not write(store, address("AF48"), address("AA1"))
    store.close()
    validate_zarr_store(str(store.folder))
    assert (store.folder / "AF/48/0/0/c/0/0/0/0").is_file()


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["in flight", "settled", "opened again"])
def test_a_slot_is_written_once(tmp_path: Path, when: str) -> None:
    store = new(tmp_path)
    store.write(frame(address()), picture(address()))
    if when != "in flight":
        assert not store.settle(1)
    if when == "opened again":
        store.close()
        store = PlateStore.open(store.folder, plan(), "main")
    with pytest.raises(StorageError, match="A1 field 0 channel DNA t=0 z=0 would be written twice"):
        store.write(frame(address(visit=2)), np.zeros(SHAPE, np.uint16))
    assert not store.settle(1)
    np.testing.assert_array_equal(store.read(address()), picture(address()))


@pytest.mark.parametrize(
    ("at", "pixels", "reason"),
    [
        pytest.param(address(c=1), np.zeros((16, 25), np.uint16), "shape (16, 25)", id="shape"),
        pytest.param(address(c=1), np.zeros((16, 24, 3), np.uint16), "shape (16, 24, 3)", id="colour"),
        pytest.param(address(c=1), np.zeros(SHAPE, np.uint8), "is uint8", id="dtype"),
        pytest.param(address(c=1), np.zeros(SHAPE, ">u2"), "is >u2", id="byte order"),
        pytest.param(address(profile="closeup"), picture(address()), "of the profile closeup", id="profile"),
        pytest.param(address(z=1), picture(address()), "no slot t=0 z=1", id="plane"),
        pytest.param(address(t=-1), picture(address()), "no slot t=-1", id="time"),
        pytest.param(
            FrameAddress(visit=1, profile="main", well="A1", field="0", channel="GFP", t=0, z=0, image=0, c=0),
            picture(address()),
            "channel 'GFP' has the index 0",
            id="channel at another's index",
        ),
    ],
)
def test_a_frame_that_does_not_fit_is_a_failure_of_that_frame_only(
    tmp_path: Path, at: FrameAddress, pixels: Image, reason: str
) -> None:
    store = new(tmp_path)
    store.write(frame(at), pixels)
    store.write(frame(address(field="1", image=1)), picture(address(image=1)))
    failures = store.settle(1)
    assert [failed for failed, _ in failures] == [at]
    assert reason in failures[0][1]
    assert not store.settle(1), "a failure is told once"
    assert store.stored(address(field="1", image=1))
    assert store.count_stored() == 1


def test_an_image_of_another_field_is_not_touched(tmp_path: Path) -> None:
    store = new(tmp_path)
    assert not write(store, address())
    with pytest.raises(StorageError, match="image 0 of A1 is the field '0', not '2'"):
        store.write(frame(address(field="2", visit=2, t=1)), picture(address()))
    assert [at.field for at, _ in store.settle(2)] == ["2"]
    assert length(store, "A/1") == 1


def test_a_well_that_is_not_selected_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not select the well B1"):
        new(tmp_path).write(frame(address("B1")), picture(address()))


def test_signed_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="frames are int16; only unsigned integers"):
        new(tmp_path, dtype="int16")


def test_a_chunk_that_cannot_be_written_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    store = new(tmp_path)
    store.ensure_field(address())
    (store.folder / "A/1/0/0/c").write_text("in the way")
    failures = write(store, address(), address("B3"))
    assert failures == [(address(), "the disk refused it: Not a directory")]
    assert store.stored(address("B3"))


def test_headers_that_cannot_be_written_are_an_error_and_the_next_attempt_is_whole(tmp_path: Path) -> None:
    store = new(tmp_path)
    assert not write(store, address("B3"))
    (store.folder / "A").write_text("in the way")
    with pytest.raises(StorageError, match=r"could not be written \((Not a directory|File exists)"):
        store.write(frame(address()), picture(address()))
    assert len(store.settle(1)) == 1
    validate_zarr_store(str(store.folder))
    (store.folder / "A").unlink()
    assert not write(store, address(visit=2))
    validate_zarr_store(str(store.folder))
    np.testing.assert_array_equal(store.read(address()), picture(address()))


LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from phenoloop.errors import StorageError
from phenoloop.storage.plate import PlateStore
from tests.storage.builders import address, frame, plan
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = PlateStore(Path(sys.argv[1]), plan(), "main", (256, 256), "uint16")
noise = np.random.default_rng(1).integers(0, 65535, (256, 256), dtype=np.uint16)
store.write(frame(address()), noise)
assert not store.settle(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    store.write(frame(address(field="1", image=1, visit=2)), noise)
except StorageError as error:
    print("error", error)
print(*(reason for _, reason in store.settle(2)), store.count_stored())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files by a POSIX call")
@pytest.mark.parametrize(
    ("limit", "output"),
    [
        pytest.param(20_000, "the disk refused it: File too large 1\n", id="room for headers, not for pixels"),
        pytest.param(
            100, "error .*/A/1/1/0 could not be written .*\n.* could not be written .* 1\n", id="no room at all"
        ),
    ],
)
def test_a_disk_that_takes_no_more_is_told_and_leaves_the_plate_valid(tmp_path: Path, limit: int, output: str) -> None:
    folder = tmp_path / "main.ome.zarr"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, folder, str(limit)], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(output, done.stdout), done.stdout
    validate_zarr_store(str(folder))


# -- labels -------------------------------------------------------------------------------------------------------


def test_labels_are_kept_per_visit_and_can_be_replaced(tmp_path: Path) -> None:
    store = new(tmp_path)
    for t in range(3):
        write(store, address(visit=t + 1, t=t))
    one, two = np.arange(384, dtype=np.int32).reshape(SHAPE), np.full(SHAPE, 70_000, np.int32)
    store.write_labels("nuclei", address(t=2), one)
    store.write_labels("vesicles", address(t=0), one)
    store.write_labels("nuclei", address(t=0), one)
    store.write_labels("nuclei", address(t=0, c=1), two)
    np.testing.assert_array_equal(store.read_labels("nuclei", address(t=2)), one)
    np.testing.assert_array_equal(store.read_labels("nuclei", address(t=0)), two)
    assert store.read_labels("nuclei", address(t=1)) is None
    assert store.read_labels("cells", address()) is None
    store.close()
    validate_zarr_store(str(store.folder))
    array = json.loads((store.folder / "A/1/0/labels/nuclei/0/zarr.json").read_bytes())
    assert (array["data_type"], array["dimension_names"]) == ("uint32", ["t", "y", "x"])


@pytest.mark.parametrize(
    ("name", "at", "shape", "message"),
    [
        pytest.param("nuclei", address("B3"), SHAPE, "field 0 of B3 has no image yet", id="no image"),
        pytest.param("nuclei", address(), (3, 3), r"have the shape \(3, 3\)", id="shape"),
        pytest.param("../nuclei", address(), SHAPE, "cannot name labels", id="leaves the folder"),
        pytest.param("", address(), SHAPE, "cannot name labels", id="empty name"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    tmp_path: Path, name: str, at: FrameAddress, shape: tuple[int, int], message: str
) -> None:
    store = new(tmp_path)
    write(store, address())
    with pytest.raises(StorageError, match=message):
        store.write_labels(name, at, np.ones(shape, np.int32))


# -- the end, and after it ----------------------------------------------------------------------------------------


def test_there_is_no_plate_before_the_first_image_and_closing_makes_none(tmp_path: Path) -> None:
    store = new(tmp_path)
    assert store.count_stored() == 0
    assert store.read(address()) is None
    store.close()
    assert not store.folder.exists()


def test_a_closed_plate_is_padded_without_gaps_and_refuses_more(tmp_path: Path) -> None:
    store = new(tmp_path)
    write(store, address(), address(t=2, visit=3), address("B3", "1", image=2))
    assert (length(store, "A/1"), length(store, "B/3", 2)) == (3, 1)
    store.close()
    assert [length(store, "A/1"), *(length(store, "B/3", image) for image in range(3))] == [3, 3, 3, 3]
    well = json.loads((store.folder / "B/3/zarr.json").read_bytes())["attributes"]["ome"]["well"]
    assert well["images"] == [{"path": "0"}, {"path": "1"}, {"path": "2"}], "readers take the place for the path"
    validate_zarr_store(str(store.folder))
    store.close()
    for refused in (
        lambda: store.write(frame(address("C2")), picture(address("C2"))),
        lambda: store.ensure_field(address("C2")),
        lambda: store.write_labels("nuclei", address(), np.ones(SHAPE, np.int32)),
    ):
        with pytest.raises(StorageError, match="is closed"):
            refused()


def test_a_failure_that_nobody_asked_for_is_told_at_the_end(tmp_path: Path) -> None:
    store = new(tmp_path)
    write(store, address())
    store.write(frame(address(visit=9, t=1)), np.zeros((2, 2), np.uint16))
    with pytest.raises(StorageError, match="1 frames were lost, the first is A1 field 0 channel DNA t=1"):
        store.close()
    validate_zarr_store(str(store.folder))


def test_an_existing_plate_is_not_overwritten(tmp_path: Path) -> None:
    store = new(tmp_path)
    write(store, address())
    with pytest.raises(StorageError, match="never overwritten"):
        new(tmp_path)


def test_a_plate_is_taken_up_where_it_was_left(tmp_path: Path) -> None:
    store = new(tmp_path, dtype="uint8")
    write(store, address("B3", "2"))
    store.write_labels("nuclei", address("B3", "2"), np.ones(SHAPE, np.int32))
    store = PlateStore.open(store.folder, plan(), "main")
    assert store.layout.shape == SHAPE
    assert store.layout.dtype == np.dtype(np.uint8)
    assert not write(store, address("B3", "2", t=1, visit=2), address("B3", "0", image=1, visit=2), address(visit=2))
    store.write_labels("nuclei", address("B3", "2", t=1), np.ones(SHAPE, np.int32))
    store.close()
    validate_zarr_store(str(store.folder))
    assert store.count_stored() == 4


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda folder: (folder / "zarr.json").write_text("{"), "cannot be read", id="half a file"),
        pytest.param(lambda folder: (folder / "zarr.json").write_text("{}"), "is no plate of phenoloop", id="no plate"),
        pytest.param(lambda folder: (folder / "A/1/0/0/zarr.json").unlink(), "cannot be read", id="no array"),
        pytest.param(
            lambda folder: (folder / "A/1/0/0/zarr.json").write_text(
                (folder / "A/1/0/0/zarr.json").read_text().replace("lz4", "zstd")
            ),
            "was not made by this protocol or this version",
            id="other codec",
        ),
    ],
)
def test_a_plate_that_is_damaged_or_foreign_is_not_continued(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    store = new(tmp_path)
    write(store, address())
    damage(store.folder)
    with pytest.raises(StorageError, match=message):
        PlateStore.open(store.folder, plan(), "main")


def test_a_plate_of_another_protocol_is_not_continued(tmp_path: Path) -> None:
    store = new(tmp_path)
    write(store, address())
    with pytest.raises(StorageError, match="holds the well A/1, which the protocol does not select"):
        PlateStore.open(store.folder, plan(wells=[(1, 1)]), "main")
    with pytest.raises(StorageError, match="was not made by this protocol"):
        PlateStore.open(store.folder, plan(channels=["DNA"]), "main")


# -- several threads, and other processes -------------------------------------------------------------------------


def test_frames_and_labels_from_several_threads_all_arrive(tmp_path: Path) -> None:
    store = new(tmp_path, plan(rows=8, columns=12, wells=[(row, column) for row in range(8) for column in range(3)]))
    wells = [f"{row}{column}" for row in "ABCDEFGH" for column in "123"]
    errors: list[BaseException] = []

    def labels(queue: list[FrameAddress]) -> None:
        try:
            for at in queue:
                store.write_labels("nuclei", at, np.full(SHAPE, at.visit, np.int32))
        except BaseException as error:
            errors.append(error)

    threads = []
    every = [address(well, visit=number, c=c) for number, well in enumerate(wells, 1) for c in range(2)]
    for first, second in zip(every[::2], every[1::2], strict=True):
        write(store, first, second)
        threads.append(threading.Thread(target=labels, args=([first, second],)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert not errors
    assert store.count_stored() == len(every) > 2 * IN_FLIGHT
    for at in every:
        np.testing.assert_array_equal(store.read(at), picture(at))
        np.testing.assert_array_equal(store.read_labels("nuclei", at), np.full(SHAPE, at.visit))
    store.close()
    validate_zarr_store(str(store.folder))


def test_no_more_than_a_few_frames_are_on_their_way_when_write_returns(tmp_path: Path) -> None:
    store = new(tmp_path)
    for t in range(3 * IN_FLIGHT):
        store.write(frame(address(t=t)), picture(address(t=t)))
        assert len(store._under_way._in_flight) == min(t + 1, IN_FLIGHT)
    assert not store.settle(1)
    assert store.count_stored() == 3 * IN_FLIGHT


class Writer:
    """The other process; `advance` lets it make visits durable without waiting for it."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.storage.writer_process", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def advance(self, visits: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("more\n" * visits)
        self.process.stdin.flush()

    def durable(self) -> int:
        """Wait for the next visit that it says is durable."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    made = Writer(tmp_path / "main.ome.zarr")
    yield made
    made.process.kill()
    for stream in (made.process.stdin, made.process.stdout):
        assert stream is not None
        stream.close()
    made.process.wait()


@pytest.mark.parametrize("after", [1, 4, 9, 17])
def test_what_was_durable_survives_a_kill_in_the_middle_of_writing(tmp_path: Path, writer: Writer, after: int) -> None:
    writer.advance(1000)
    for number in range(1, after + 1):
        assert writer.durable() == number
    writer.process.kill()
    writer.process.wait()
    folder = tmp_path / "main.ome.zarr"
    validate_zarr_store(str(folder))
    store = PlateStore.open(folder, plan(), "main")
    durable = [at for _, frames in zip(range(after), visits(), strict=False) for at in frames]
    assert store.count_stored() >= len(durable)
    for at in durable:
        np.testing.assert_array_equal(store.read(at), picture(at))
    for _, frames in zip(range(after + 60), visits(), strict=False):
        assert not write(store, *(at for at in frames if not store.stored(at)))
    store.close()
    validate_zarr_store(str(folder))
    assert store.count_stored() == 2 * (after + 60)


def test_the_plate_is_valid_whenever_another_process_looks(tmp_path: Path, writer: Writer) -> None:
    folder = tmp_path / "main.ome.zarr"
    writer.advance(1)
    assert writer.durable() == 1
    for _ in range(25):
        writer.advance(8)
        validate_zarr_store(str(folder))
    assert writer.process.stdin is not None
    writer.process.stdin.close()
    assert [writer.durable() for _ in range(200)] == list(range(2, 202))
    assert writer.process.wait() == 0
    validate_zarr_store(str(folder))
