"""`write_zarr`: stores made task by task, in threads and on clusters, and what becomes of them where workers die."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import fewer
from test_zarr import RESOLUTION, SMALL, files_of, left, make_inputs, opened, same, ways_of

import gridr_numba as gn
from gridr_numba.doors import write_zarr as door

zarr = pytest.importorskip("zarr", minversion="3.0.8", reason="Zarr stores need zarr 3")
pytest.importorskip("dask")

from gridr_numba.doors.window_tasks import flag_tasks  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return make_inputs(tmp_path)


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    return ways_of(make_inputs(tmp_path_factory.mktemp("ways")))


def densifier(folder, **options):
    return gn.open_densifier(
        folder / "in-grid.tif", **{"mask": folder / "in-mask.tif", "resolution": RESOLUTION, **options}
    )


def write(folder, store=None, *, options=None, **arguments):
    with densifier(folder, **(options or {})) as made:
        gn.write_zarr(made, store or folder / "out/dense.zarr", **{"zarr_options": SMALL, **arguments})


@fewer
@given(
    chunk=st.tuples(st.integers(17, 60), st.integers(17, 200)),
    chunks=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    zarr_format=st.sampled_from([2, 3]),
    causes=st.booleans(),
)
def test_it_holds_what_densify_writes_whatever_the_shards(tmp_path_factory, ways, chunk, chunks, zarr_format, causes):
    folder = make_inputs(tmp_path_factory.mktemp("shards"))
    (folder / "out").mkdir()
    options = {"zarr_format": zarr_format, "chunk": chunk}
    if zarr_format == 3:
        options["shard"] = chunk[0] * chunks[0], chunk[1] * chunks[1]
    how, wanted = ways[causes]
    write(folder, options=how, zarr_options=options)
    assert same(folder / "out/dense.zarr", wanted)
    assert left(folder) == ["dense.zarr"]


def test_it_is_the_store_that_densify_makes(folder):
    """But for the tag of the options of a call."""
    write(folder)
    gn.densify(
        folder / "in-grid.tif", folder / "out/other.zarr", mask=folder / "in-mask.tif", resolution=RESOLUTION,
        zarr_options=SMALL,
    )  # fmt: skip
    trees = []
    for name in ("dense.zarr", "other.zarr"):
        root = folder / "out" / name
        trees.append({str(each.relative_to(root)): each.read_bytes() for each in root.rglob("*") if each.is_file()})
    metadata = [tree.pop("zarr.json") for tree in trees]
    assert trees[0] == trees[1]
    assert b"GRIDR_NUMBA_INPUTS" in metadata[0]
    assert opened(folder / "out/dense.zarr").attrs["GRIDR_NUMBA_INPUTS"] == "in-grid.tif in-mask.tif"


def test_a_mask_alone(folder):
    with gn.open_densifier(None, mask=folder / "in-mask.tif", resolution=RESOLUTION) as made:
        gn.write_zarr(made, folder / "out/mask.zarr", zarr_options=SMALL)
    assert set(opened(folder / "out/mask.zarr")) == {"mask", "x", "y", "spatial_ref"}


def test_what_exists_is_replaced_only_where_that_is_allowed(folder):
    write(folder)
    with pytest.raises(
        gn.GridrValueError, match=r"^store: '.*dense.zarr' exists; overwrite=True replaces it"
    ) as caught:
        write(folder, options={"fill": 3})
    assert caught.value.argument == "store"
    write(folder, options={"fill": 3}, overwrite=True)
    assert same(folder / "out/dense.zarr", files_of(folder, fill=3))
    assert left(folder) == ["dense.zarr"]


@pytest.mark.parametrize(
    ("change", "kind", "argument", "message"),
    [
        ({"store": 3}, gn.GridrTypeError, "store", "must be a path or a zarr Store, not 3"),
        ({"store": "s3://bucket/a.zarr"}, gn.GridrValueError, "store", "must be the path of a local file"),
        ({"store": "a.tif"}, gn.GridrValueError, "store", "must be a path whose name ends in .zarr, not 'a.tif'"),
        ({"client": "tcp://here"}, gn.GridrTypeError, "client", "must be a distributed.Client or None"),
        ({"zarr_options": {"shard": 3}}, gn.GridrValueError, "zarr_options", "shard must be a multiple of chunk"),
        ({"overwrite": "yes"}, gn.GridrTypeError, "overwrite", "must be True or False"),
        ({"verify": None}, gn.GridrTypeError, "verify", "must be True or False"),
    ],
)
def test_wrong_arguments(folder, change, kind, argument, message):
    with pytest.raises(kind, match=f"^{argument}.*{message}") as caught:
        write(folder, **change)
    assert caught.value.argument == argument
    assert left(folder) == []


def test_what_is_no_densifier(folder):
    with pytest.raises(gn.GridrTypeError, match=r"^densifier must be a Densifier, not str"):
        gn.write_zarr("in-grid.tif", folder / "out/dense.zarr")


def test_without_dask_it_is_said_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dask.array", None)
    with pytest.raises(ImportError, match=r"pip install 'gridr_numba\[dask\]'"):
        write(folder)
    assert left(folder) == []


# -- stores of zarr's ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_a_store_of_zarrs_own_is_written_in_place(folder, tmp_path, kind):
    store = zarr.storage.MemoryStore() if kind == "memory" else zarr.storage.LocalStore(tmp_path / "own.zarr")
    write(folder, store)
    group = zarr.open_group(store, mode="r")
    grid, mask = files_of(folder)
    for name, expected in (("row", grid[0]), ("col", grid[1]), ("mask", mask)):
        assert group[name][:].tobytes() == expected.tobytes()
    with pytest.raises(gn.GridrValueError, match=r"^store must be empty"):
        write(folder, store)
    with pytest.raises(gn.GridrValueError, match=r"^overwrite is for folders"):
        write(folder, store, overwrite=True)


def test_a_shard_that_did_not_arrive_is_found(folder, monkeypatch):
    monkeypatch.setattr(door.ShardWriter, "write", lambda self, where: None)
    with pytest.raises(gn.DatasetError, match=r"^store: what workers wrote to 'row' did not arrive"):
        write(folder, zarr.storage.MemoryStore())
    with pytest.raises(gn.DatasetError, match=r"^store: block \(0, 0\) of 'row' in '.*' was not written whole"):
        write(folder)
    assert left(folder) == []


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_one_shard_that_did_not_arrive_is_found(folder, monkeypatch, zarr_format):
    """Of the last array, and of the last shard, which is not whole: all others count for nothing."""
    store, options = zarr.storage.MemoryStore(), {"chunk": 32, "zarr_format": zarr_format}
    last = {2: "mask/3.5", 3: "mask/c/1/2"}[zarr_format]
    if zarr_format == 3:
        options["shard"] = 64
    run = door._run
    monkeypatch.setattr(door, "_run", lambda *arguments: (run(*arguments), store._store_dict.pop(last)))
    with pytest.raises(gn.DatasetError, match=r"^store: what workers wrote to 'mask' did not arrive"):
        write(folder, store, zarr_options=options)


# -- what fails in a task -----------------------------------------------------------------------------------------


def test_a_changed_input_is_refused(folder):
    with densifier(folder) as made:
        os.utime(folder / "in-grid.tif", ns=(1, 1))
        with pytest.raises(gn.DatasetError, match=r"in-grid.tif' has changed since"):
            gn.write_zarr(made, folder / "out/dense.zarr", zarr_options=SMALL)
    assert left(folder) == []


def test_a_shard_that_is_not_read_back_as_written_is_found(folder, monkeypatch):
    read = door.read_array

    def wrong(array, where, out):
        read(array, where, out)
        if array.path == "mask":
            out[0, 0] += 1

    monkeypatch.setattr(door, "read_array", wrong)
    with pytest.raises(gn.DatasetError, match=r"^store: rows \d+ to .* of 'mask' in .* were not read back as wri"):
        write(folder)
    assert left(folder) == []
    write(folder, verify=False)
    assert left(folder) == ["dense.zarr"]


def test_errors_come_back_from_processes_with_their_argument():
    error = pickle.loads(pickle.dumps(gn.DatasetError("store: full", argument="store")))
    assert (str(error), error.argument) == ("store: full", "store")


# -- on a cluster -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    cluster = distributed.LocalCluster(**options, host="127.0.0.1")
    yield cluster
    with suppress(TimeoutError):  # older ones give up on workers that take 5 s to end, as they may on a busy machine
        cluster.close()


@pytest.fixture
def client(cluster):
    from distributed import Client

    cluster.scale(2)
    with Client(cluster) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


def test_processes_of_a_cluster_write_the_same_bits(folder, client):
    write(folder, client=client, zarr_options={"shard": 32, "chunk": 32, "compressor": "zstd"})
    assert same(folder / "out/dense.zarr", files_of(folder))


def test_a_relative_path_is_that_of_the_caller(folder, client, monkeypatch):
    monkeypatch.chdir(folder / "out")
    write(folder, "dense.zarr", client=client)
    assert same(folder / "out/dense.zarr", files_of(folder))


def test_an_error_of_a_worker_names_what_failed_and_leaves_nothing(folder, client):
    with densifier(folder) as made:
        os.utime(folder / "in-grid.tif", ns=(1, 1))
        with pytest.raises(gn.DatasetError, match=r"in-grid.tif' has changed since"):
            gn.write_zarr(made, folder / "out/dense.zarr", zarr_options=SMALL, client=client)
    assert left(folder) == []


def test_a_store_in_this_process_memory_is_not_one_of_the_workers(folder, client):
    with pytest.raises(gn.DatasetError, match=r"^store: what workers wrote to 'row' did not arrive"):
        write(folder, zarr.storage.MemoryStore(), client=client)


def test_a_store_that_does_not_travel_is_refused(folder, client, tmp_path):
    class Kept(zarr.storage.LocalStore):
        def __reduce__(self):
            raise ValueError("this one stays here")

    store = Kept(tmp_path / "kept.zarr")
    with pytest.raises(gn.GridrValueError, match=r"^store must travel to .* cannot be pickled: this one sta") as caught:
        write(folder, store, client=client)
    assert caught.value.argument == "store"
    assert not list(tmp_path.glob("kept.zarr/*"))


def test_workers_are_killed_until_all_of_the_first_have_died(folder, client):
    """And what took their places has made the rest: the bits are the same."""
    first = {int(pid) for pid in client.run(os.getpid).values()}
    options = {"resolution": (60, 70)}  # 661 x 981 pixels, in more shards than two workers have done at once
    expected = files_of(folder, **options)
    dead, done = set(), threading.Event()

    def kill():
        while not done.is_set() and dead != first:
            written = [each for each in (folder / "out").rglob("c/*/*") if each.is_file()]
            if len(written) >= 8 * (len(dead) + 1):
                pid = (first - dead).pop()
                os.kill(pid, signal.SIGKILL)
                dead.add(pid)
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        write(folder, client=client, options=options, zarr_options={"shard": 64, "chunk": 32})
    finally:
        done.set()
        killer.join()
    assert dead == first
    assert same(folder / "out/dense.zarr", expected)
    assert left(folder) == ["dense.zarr"]
    assert not list((folder / "out/dense.zarr").rglob("*.partial"))


# -- the stores that docs/clusters.md names -------------------------------------------------------------------------


def same_in(store, expected):
    group = zarr.open_group(store, mode="r")
    bands = (*expected[0], expected[1])
    return all(group[name][:].tobytes() == band.tobytes() for name, band in zip(ARRAYS, bands, strict=True))


ARRAYS = "row", "col", "mask"


@pytest.mark.parametrize("where", ["memory", "threads", "processes"])
def test_a_store_of_obstores_is_written(folder, tmp_path, request, where):
    stores = pytest.importorskip("obstore.store", reason="obstore is not installed, and is in no extra")
    bucket = stores.MemoryStore() if where == "memory" else stores.LocalStore(tmp_path / "bucket", mkdir=True)
    client = request.getfixturevalue("client") if where == "processes" else None
    write(folder, zarr.storage.ObjectStore(bucket), client=client)
    assert same_in(zarr.storage.ObjectStore(bucket), files_of(folder))
    with pytest.raises(gn.GridrValueError, match=r"^store must be empty"):
        write(folder, zarr.storage.ObjectStore(bucket))


@pytest.fixture
def repository():
    icechunk = pytest.importorskip("icechunk", reason="icechunk is not installed, and is in no extra")
    return icechunk.Repository.create(icechunk.in_memory_storage())


def test_what_threads_write_to_icechunk_is_one_transaction(folder, repository):
    session = repository.writable_session("main")
    write(folder, session.store)
    with pytest.raises(FileNotFoundError):
        zarr.open_group(repository.readonly_session("main").store, mode="r")
    session.commit("dense")
    assert same_in(repository.readonly_session("main").store, files_of(folder))


def test_an_icechunk_session_does_not_travel(folder, repository, client):
    session = repository.writable_session("main")
    with pytest.raises(gn.GridrValueError, match=r"^store must travel to the client's workers"):
        write(folder, session.store, client=client)
    assert not session.has_uncommitted_changes


def test_workers_write_lazy_arrays_to_icechunk(folder, tmp_path, client):
    icechunk = pytest.importorskip("icechunk", minversion="2", reason="icechunk 2 is not installed, and is in no extra")
    from icechunk.xarray import to_icechunk

    from gridr_numba.lazy import densify_lazy

    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "repository")))
    session = repository.writable_session("main")
    options = {"resolution": RESOLUTION, "mask": folder / "in-mask.tif", "chunks": 64}
    to_icechunk(densify_lazy(folder / "in-grid.tif", **options), session)
    session.commit("dense")
    assert same_in(repository.readonly_session("main").store, files_of(folder))


def test_a_graph_of_many_shards_is_small(folder):
    with densifier(folder) as made:
        writer = door.ShardWriter(made, (), "x", verify=True)
        start = time.perf_counter()
        tasks = flag_tasks(door.write_shard, (640_000, 640_000), (2048, 2048), writer)
        assert time.perf_counter() - start < 1
    assert tasks.npartitions == 313**2
    assert len(pickle.dumps(tasks.dask.layers[tasks.name])) < 20_000
