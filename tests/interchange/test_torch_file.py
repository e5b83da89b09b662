"""PyTorch files: both containers, exact arrays, and everything else refused."""

import io
import os
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from damage import damaged_copies, survives

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.torch_file import read_torch_file
from fcpts_ref.interchange.torch_write import write_torch_file
from interchange.pickles import dictionary, integer, sequence_file, tensor, text, whole, zip_file

FOUR = np.arange(4, dtype=np.float32)
DATA = FOUR.tobytes()
KEYS = b"]" + text("0") + b"a"


def zipped(tmp_path, operations, storage=DATA, **members):
    names = {name.replace("_", "/"): content for name, content in members.items()}
    contents = {"data.pkl": whole(operations), "data/0": storage} | names
    return zip_file(tmp_path / "a.pth", contents)


def sequence(tmp_path, operations, keys=KEYS, count=4, data=DATA):
    return sequence_file(tmp_path / "a.th", operations, keys, struct.pack("<q", count) + data)


CONTAINERS = {"zip": zipped, "sequence": sequence}
container = pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)


@container
def test_a_state_dict(tmp_path, container):
    found = read_torch_file(container(tmp_path, dictionary(w=tensor())))
    assert list(found) == ["w"]
    assert found["w"].dtype == np.float32
    assert np.array_equal(found["w"], [[0, 1], [2, 3]])
    found["w"][0, 0] = 5  # an array of its own, to be written to


@container
@pytest.mark.parametrize("key", ["state_dict", "model", "net"])
def test_a_checkpoint_with_more_in_it(tmp_path, container, key):
    inner = {key: dictionary(w=tensor(), b=tensor(shape=(2,), strides=(1,), offset=2))}
    operations = dictionary(epoch=integer(3), optimizer=dictionary(), **inner)
    found = read_torch_file(container(tmp_path, operations))
    assert list(found) == ["w", "b"]
    assert np.array_equal(found["b"], [2, 3])


@container
@pytest.mark.parametrize(
    ("shape", "strides", "offset", "expected"),
    [
        ((), (), 3, 3),
        ((1,), (7,), 3, [3]),
        ((2,), (2,), 1, [1, 3]),
        ((2, 2), (1, 2), 0, [[0, 2], [1, 3]]),
        ((2, 2), (1, 1), 0, [[0, 1], [1, 2]]),
        ((0, 3), (3, 1), 0, np.zeros((0, 3))),
        ((0, 1 << 40), (1, 1), 4, np.zeros((0, 1 << 40))),
        ((2,), (0,), 1, [1, 1]),
    ],
)
def test_views(tmp_path, container, shape, strides, offset, expected):
    path = container(tmp_path, dictionary(w=tensor(shape, strides, offset)))
    found = read_torch_file(path)["w"]
    assert found.shape == shape
    assert np.array_equal(found, expected)


@container
@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((5,), (1,), 0),
        ((4,), (1,), 1),
        ((2,), (4,), 0),
        ((1,), (1,), 4),
        ((), (), 4),
        ((-1,), (1,), 0),
        ((2,), (-1,), 3),
        ((2,), (1,), -1),
        ((2, 2), (1,), 0),
        ((1 << 40,), (0,), 0),
        ((1 << 62, 1 << 62), (0, 0), 0),
        ((1,) * 33, (1,) * 33, 0),
    ],
)
def test_views_beyond_the_storage(tmp_path, container, shape, strides, offset):
    with pytest.raises(InputError, match=r"pickle, before byte"):
        read_torch_file(container(tmp_path, dictionary(w=tensor(shape, strides, offset))))


@container
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (b"DoubleStorage", "<f8"),
        (b"FloatStorage", "<f4"),
        (b"HalfStorage", "<f2"),
        (b"LongStorage", "<i8"),
        (b"IntStorage", "<i4"),
        (b"ShortStorage", "<i2"),
        (b"CharStorage", "i1"),
        (b"ByteStorage", "u1"),
        (b"BoolStorage", "?"),
    ],
)
def test_dtypes(tmp_path, container, kind, dtype):
    values = np.array([1, 0, 3, 100]).astype(dtype)
    path = container(tmp_path, dictionary(w=tensor(kind=kind)), **data(container, values.tobytes()))
    found = read_torch_file(path)["w"]
    assert found.dtype == np.dtype(dtype)
    assert np.array_equal(found, values.reshape(2, 2))


def data(container, content):
    return {"storage" if container is zipped else "data": content}


@container
def test_bfloat16_is_widened(tmp_path, container):
    halves = np.array([0x3F80, 0xC000, 0x7F80, 0x0001], "<u2").tobytes()
    operations = dictionary(w=tensor(kind=b"BFloat16Storage"))
    found = read_torch_file(container(tmp_path, operations, **data(container, halves)))["w"]
    assert found.dtype == np.float32
    assert np.array_equal(found, [[1, -2], [np.inf, 2.0**-133]])


def test_big_endian(tmp_path):
    path = zipped(tmp_path, dictionary(w=tensor()), FOUR.astype(">f4").tobytes(), byteorder=b"big")
    assert np.array_equal(read_torch_file(path)["w"], [[0, 1], [2, 3]])
    path = zipped(tmp_path, dictionary(w=tensor()), byteorder=b"middle")
    with pytest.raises(InputError, match="byte order b'middle'"):
        read_torch_file(path)


def test_a_view_of_a_storage_in_the_older_container(tmp_path):
    view = text("v") + integer(1) + integer(2) + b"\x87"
    operations = dictionary(w=tensor((2,), (1,), 0, view=view), x=tensor())
    found = read_torch_file(sequence(tmp_path, operations))
    assert np.array_equal(found["w"], [1, 2])
    view = text("v") + integer(3) + integer(2) + b"\x87"
    with pytest.raises(InputError, match="a view reaches beyond storage '0'"):
        read_torch_file(sequence(tmp_path, dictionary(w=tensor(view=view))))


@container
@pytest.mark.parametrize(
    ("operations", "message"),
    [
        (integer(1), "an object of type int, expected named tensors"),
        (dictionary(), "a dict with nothing, expected named tensors"),
        (dictionary(epoch=integer(1), weight=b"]"), "a dict with epoch, weight, expected"),
        (tensor(), "an object of type Tensor, expected"),
        (b"}K\x01" + tensor() + b"s", "a dict with 1, expected"),
        (dictionary(w=tensor(), v=tensor(count=5)), "storage '0' is described in two ways"),
        (dictionary(w=tensor(kind=b"QInt8Storage")), "names 'torch.QInt8Storage', which is ref"),
        (dictionary(w=b"cos\nsystem\n" + text("id") + b"\x85R"), "'os.system', which is refused"),
        (b"ctorch.nn\nLinear\n)R", "'torch.nn.Linear', which is refused"),
        (text("x") + b"Q", "broken pickle"),
    ],
)
def test_what_is_not_a_checkpoint(tmp_path, container, operations, message):
    with pytest.raises(InputError, match=message):
        read_torch_file(container(tmp_path, operations))


@container
def test_storages_of_another_length(tmp_path, container):
    for content in (FOUR.tobytes()[:-1], b""):
        path = container(tmp_path, dictionary(w=tensor()), **data(container, content))
        with pytest.raises(InputError, match=r"storage '0' (has|does not have)"):
            read_torch_file(path)


def test_a_missing_storage(tmp_path):
    path = zip_file(tmp_path / "a.pth", {"data.pkl": whole(dictionary(w=tensor()))})
    with pytest.raises(InputError, match="'data/0' is missing"):
        read_torch_file(path)
    with pytest.raises(InputError, match="storage '0' is missing"):
        read_torch_file(sequence(tmp_path, dictionary(w=tensor()), keys=b"]"))


def test_a_list_of_storages_that_does_not_fit(tmp_path):
    for keys in (b"]" + text("1") + b"a", b"]K\x00a", b"}", b"]]a"):
        with pytest.raises(InputError, match="list of storages does not fit"):
            read_torch_file(sequence(tmp_path, dictionary(w=tensor()), keys=keys))
    with pytest.raises(InputError, match="does not have its 4 elements"):
        read_torch_file(sequence(tmp_path, dictionary(w=tensor()), count=-1))


def test_files_of_other_kinds(tmp_path):
    path = tmp_path / "a.pth"
    with pytest.raises(InputError, match=r"cannot read .*a\.pth: its folder|cannot read"):
        read_torch_file(path)
    for content in (b"", b"hello", b"\x89HDF\r\n", b"\x80\x02N.", b"\x80\x02."):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a PyTorch checkpoint"):
            read_torch_file(path)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="truncated or damaged zip file"):
        read_torch_file(path)
    zip_file(path, {"other": b""})
    with pytest.raises(InputError, match=r"without a checkpoint's data\.pkl"):
        read_torch_file(path)
    zip_file(path, {"data.pkl": b"", "constants.pkl": b""})
    with pytest.raises(InputError, match="TorchScript"):
        read_torch_file(path)


@container
@pytest.mark.parametrize(
    "beside",
    [tensor(), dictionary(w=tensor()), b"K\x01", b"]"],
    ids=["tensor", "dict", "int", "list"],
)
def test_the_state_dict_goes_before_what_lies_beside_it(tmp_path, container, beside):
    operations = dictionary(best=beside, optimizer=beside, state_dict=dictionary(v=tensor()))
    assert list(read_torch_file(container(tmp_path, operations))) == ["v"]


@container
@pytest.mark.parametrize(
    ("shape", "strides"),
    [
        ((0, 1 << 62), (1, 1)),
        ((0, 1 << 40, 1 << 40), (1, 1, 1)),
        ((1, 1), (1 << 62, 1 << 62)),
        ((2, 2), (1 << 62, 1)),
    ],
)
def test_impossible_shapes_and_steps(tmp_path, container, shape, strides):
    path = container(tmp_path, dictionary(w=tensor(shape, strides)))
    if shape == (1, 1):  # the steps are never taken
        assert read_torch_file(path)["w"] == 0
        return
    with pytest.raises(InputError, match="pickle, before byte"):
        read_torch_file(path)


@pytest.mark.parametrize("name", ["pipe", "/dev/zero"])
@pytest.mark.skipif(os.name == "nt", reason="pipes in the file system are POSIX")
def test_a_pipe_or_device_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe or a device"):
        read_torch_file(tmp_path / name)


def test_a_compressed_member_is_refused(tmp_path):
    members = {"data.pkl": whole(dictionary(w=tensor())), "data/0": FOUR.tobytes()}
    path = zip_file(tmp_path / "a.pth", members, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match=r"'data\.pkl' is compressed"):
        read_torch_file(path)


def peak_of_refusal(path, message):
    tracemalloc.start()
    with pytest.raises(InputError, match=message):
        read_torch_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_a_claimed_size_takes_no_memory(tmp_path):
    claimed = dictionary(w=tensor((1 << 20, 1 << 20), (1 << 20, 1), count=1 << 40))
    assert peak_of_refusal(zipped(tmp_path, claimed), "more data than the file has") < 1 << 20
    assert peak_of_refusal(sequence(tmp_path, claimed), "does not have its") < 1 << 20


@container
def test_a_file_that_multiplies_itself_is_refused(tmp_path, container):
    content = bytes(4_000_000)
    one = tensor((1_000_000,), (1,), count=1_000_000)
    views = {f"w{n}": one for n in range(100)}
    options = data(container, content) | ({} if container is zipped else {"count": 1_000_000})
    path = container(tmp_path, dictionary(**views), **options)
    assert peak_of_refusal(path, "over 4 times as large as the file") < 16_000_000
    tied = container(tmp_path, dictionary(w=one, v=one), **options)
    assert len(read_torch_file(tied)) == 2


@container
def test_damaged_files_are_refused_or_read(tmp_path, container):
    operations = dictionary(epoch=integer(1), state_dict=dictionary(w=tensor(), v=tensor()))
    content = container(tmp_path, operations).read_bytes()
    found = [
        survives(read_torch_file, tmp_path / "damaged", copy)
        for copy in damaged_copies(content, 600)
    ]
    assert sum(arrays is None for arrays in found) > 300
    assert all(a.nbytes < 1000 for arrays in found if arrays for a in arrays.values())


# Writing


def make_arrays():
    draw = np.random.default_rng(0)
    arrays = {
        np.dtype(code).name: draw.integers(0, 2, (2, 3)).astype(code)
        for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")
    }
    return arrays | {
        "layer1.0.conv1.weight": draw.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "scalar": np.array(1.5),
        "empty": np.zeros((0, 3), np.float32),
        "größe": np.arange(3.0),
        "big endian": np.arange(3, dtype=">f4"),
        "by columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "every other": np.arange(6.0)[::2],
    }


def test_what_is_written_is_read_again(tmp_path):
    arrays = make_arrays()
    write_torch_file(tmp_path / "a.pth", arrays)
    found = read_torch_file(tmp_path / "a.pth")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


def test_the_same_arrays_give_the_same_bytes(tmp_path):
    for name in "ab":
        write_torch_file(tmp_path / name, make_arrays())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("array", [np.zeros(2, complex), np.zeros(2, "u4"), np.array(["a"])])
def test_a_dtype_torch_lacks(tmp_path, array):
    with pytest.raises(InputError, match=r"w is .*, expected one of DoubleStorage"):
        write_torch_file(tmp_path / "a.pth", {"w": array})
    assert not list(tmp_path.iterdir())


def test_large_sizes_fit_into_the_pickle():
    from fcpts_ref.interchange.torch_write import _integer

    assert _integer((1 << 31) - 1) == b"J\xff\xff\xff\x7f"
    assert _integer(1 << 31) == b"\x8a\x08" + (1 << 31).to_bytes(8, "little")


# Against PyTorch itself


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def test_torch_reads_what_is_written(tmp_path, torch):
    arrays = make_arrays()
    write_torch_file(tmp_path / "a.pth", arrays)
    found = torch.load(tmp_path / "a.pth", weights_only=True)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        assert np.array_equal(found[name].numpy(), array)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "sequence"])
def test_what_torch_writes_is_read(tmp_path, torch, new):
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    base = torch.randn(4, 6, generator=generator)
    state = model.state_dict() | {
        "view": base.t()[1:, ::2],
        "expanded": base[:1, :1].expand(1, 1),
        "parameter": torch.nn.Parameter(base.double()),
        "bfloat16": base.bfloat16(),
        "half": base.half(),
        "mask": base > 0,
        "scalar": torch.tensor(3),
        "empty": torch.ones(0, 4),
    }
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(base[None, :2, :, None].expand(1, 2, 6, 4)).sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 3,
        "best_prec1": 91.7,
        "shape": base.shape,
        "state_dict": state,
        "optimizer": optimizer.state_dict(),
    }
    torch.save(checkpoint, tmp_path / "a.pt", _use_new_zipfile_serialization=new)
    found = read_torch_file(tmp_path / "a.pt")
    assert list(found) == list(state)
    for name, tensor_ in state.items():
        wanted = tensor_.detach()
        wanted = (wanted.float() if name == "bfloat16" else wanted).contiguous().numpy()
        assert found[name].dtype == wanted.dtype
        assert found[name].shape == wanted.shape
        assert found[name].tobytes() == wanted.tobytes()


def test_what_torch_admits_beside_the_weights_is_left_out(tmp_path, torch):
    state = torch.nn.Linear(2, 3).state_dict()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(
        torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1), milestones=[3, 3, 5]
    )
    tagged = torch.nn.Parameter(torch.zeros(1))
    tagged.tag = "an attribute"
    checkpoint = {
        "state_dict": state,
        "best_acc1": torch.tensor(91.7),
        "rng_state": torch.get_rng_state(),
        "scheduler": scheduler.state_dict(),
        "device": torch.device("cuda", 1),
        "dtype": torch.float32,
        "layout": torch.strided,
        "bytes": b"some bytes",
        "array of bytes": bytearray(b"more"),
        "set": {"a", 1},
        "complex": 1 + 2j,
        "numpy": np.float64(91.7),
        "history": np.arange(3.0),
        "tagged": tagged,
    }
    for protocol in (2, 4, 5):
        torch.save(checkpoint, tmp_path / "a.pt", pickle_protocol=protocol)
        found = read_torch_file(tmp_path / "a.pt")
        assert list(found) == ["weight", "bias"]
        assert np.array_equal(found["weight"], state["weight"].numpy())


def test_expanded_tensors_are_read(tmp_path, torch):
    state = {
        "w": torch.tensor([3.0]).expand(64, 5),
        "v": torch.arange(3.0)[:, None].expand(3, 4),
        "one": torch.arange(6.0).as_strided((1, 2), (1 << 40, 1)),
    }
    torch.save(state, tmp_path / "a.pt")
    for name, found in read_torch_file(tmp_path / "a.pt").items():
        assert np.array_equal(found, state[name].numpy())


def quantised(torch):
    with warnings.catch_warnings(action="ignore"):  # deprecated, but there are such files
        return torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (quantised, "a quantised network: save the state dict of the float"),
        (lambda torch: torch.eye(3).to_sparse(), r"sparse or nested tensors: .*to_dense"),
        (lambda torch: torch.zeros(2, dtype=torch.complex64), "complex numbers"),
        (lambda torch: torch.zeros(2, dtype=torch.float8_e5m2), r"such as float8.*\.float\(\)"),
        (lambda torch: torch.nn.Linear(2, 2), "a whole pickled model: .*state_dict"),
        (lambda torch: torch.nn.DataParallel(torch.nn.Linear(2, 2)), "a whole pickled model"),
        (lambda torch: Path("x"), "plain data and tensors: .*state_dict"),
    ],
)
def test_what_torch_writes_beside_weights_is_named(tmp_path, torch, make, message):
    torch.save({"w": make(torch)}, tmp_path / "a.pt")
    with pytest.raises(InputError, match=message) as caught:
        read_torch_file(tmp_path / "a.pt")
    assert "\n" not in str(caught.value)


def test_a_torchscript_program_is_named(tmp_path, torch):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:  # tracing would warn
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"a/{name}", b"")
    with pytest.raises(InputError, match=r"a TorchScript program: .*state_dict"):
        read_torch_file(tmp_path / "a.pt")


def test_a_whole_module_is_refused(tmp_path, torch):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"'torch\.nn\.modules\.linear\.Linear', which is refused"):
        read_torch_file(tmp_path / "a.pt")


WEIGHTS = os.environ.get("FCPTS_REF_TEST_WEIGHTS")


@pytest.mark.skipif(not WEIGHTS, reason="FCPTS_REF_TEST_WEIGHTS does not name a folder of weights")
def test_real_checkpoints_are_read_bit_by_bit(tmp_path, torch):
    paths = [p for p in sorted(Path(WEIGHTS).iterdir()) if p.suffix in (".th", ".pth", ".pt")]
    assert paths, f"no checkpoints in {WEIGHTS}"
    for path in paths:
        checkpoint = torch.load(io.BytesIO(path.read_bytes()), "cpu", weights_only=True)
        state = checkpoint.get("state_dict", checkpoint)
        found = read_torch_file(path)
        assert list(found) == list(state)
        for name, wanted in state.items():
            assert found[name].shape == wanted.shape
            assert found[name].tobytes() == wanted.numpy().tobytes()
        write_torch_file(tmp_path / "again.pth", found)
        again = torch.load(tmp_path / "again.pth", weights_only=True)
        assert all(torch.equal(again[name], state[name]) for name in state)
