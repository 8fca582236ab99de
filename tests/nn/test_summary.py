import numpy as np
import pytest

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, ShapeError
from minicnn.nn import layers


def smooth(**options):
    """A convolution without zeros in its weights, so that every pixel it may see shows."""
    return nn.Conv2d(1, 1, initializer=nn.init.ones, **options)


def seen_by_gradient(net, image):
    """The box of pixels that the pixel in the middle of the output depends on."""
    x = Tensor(np.ones((1, 1, *image)), requires_grad=True)
    net.astype(np.float64)
    y = net(x)
    middle = np.zeros(y.shape)
    middle[0, 0, y.shape[2] // 2, y.shape[3] // 2] = 1
    y.backward(middle)
    rows, columns = np.nonzero(x.grad.data[0, 0])
    return tuple(int(i.max() - i.min() + 1) for i in (rows, columns)), (rows.min(), columns.min())


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: [smooth(), smooth(), smooth()], (7, 7)),
        (lambda: [smooth(stride=2), smooth(size=5), nn.AvgPool2d(2), smooth()], (21, 21)),
        (lambda: [smooth(dilation=3), smooth(size=(1, 5)), smooth(size=(3, 1))], (9, 11)),
        (lambda: [smooth(stride=(2, 1)), nn.AvgPool2d((3, 2), stride=1, padding=1)], (7, 4)),
        (lambda: [smooth(padding="valid", stride=3), smooth(padding=((0, 2), (1, 1)))], (9, 9)),
        (lambda: [smooth(size=4), nn.AvgPool2d(3, 2), smooth(size=2, dilation=2)], (10, 10)),
    ],
)
def test_receptive_field_is_where_the_gradient_is_not_zero(build, expected):
    net, image = nn.Sequential(*build()), (61, 67)
    row = net.summary((1, *image)).rows[-1]
    size, start = seen_by_gradient(net, image)
    assert row.receptive_field == size == expected
    # one pixel further in the output is one jump further in the image
    shifted = nn.Sequential(*net, nn.Function(lambda x: x[:, :, 2:, 2:]))
    _, further = seen_by_gradient(shifted, image)
    assert tuple(b - a for a, b in zip(start, further, strict=True)) == row.jump


class Residual(nn.Module):
    def __init__(self):
        self.a, self.b = smooth(), smooth(size=5)
        self.side = smooth(size=(1, 9))

    def forward(self, x):
        return ops.relu(self.b(self.a(x)) + self.side(x)) + x


def test_branches_are_joined_through_the_history_of_the_tensors():
    net = nn.Sequential(smooth(stride=2), Residual(), smooth())
    row = net.summary((1, 61, 61)).rows[-1]
    size, _ = seen_by_gradient(net, (61, 61))
    assert row.receptive_field == size == (3 + 6 * 2 + 2 * 2, 3 + 8 * 2 + 2 * 2)


def test_branches_with_padding_on_opposite_sides_see_both():
    class Apart(nn.Module):
        def __init__(self):
            self.above = smooth(padding=((2, 0), (2, 0)))
            self.below = smooth(padding=((0, 2), (1, 1)))

        def forward(self, x):
            return self.above(x) + self.below(x)

    net = nn.Sequential(smooth(stride=2), Apart(), nn.ReLU())
    row = net.summary((1, 41, 41)).rows[-1]
    size, _ = seen_by_gradient(net, (41, 41))
    assert row.receptive_field == size == (3 + 4 * 2, 3 + 3 * 2)


def test_a_gate_on_the_whole_map_sees_all():
    class Gate(nn.Module):
        def __init__(self):
            self.pool, self.gate = nn.GlobalAvgPool2d(), nn.Dense(1, 1, activation=ops.sigmoid)

        def forward(self, x):
            return x * self.gate(self.pool(x)).reshape(-1, 1, 1, 1)

    net = nn.Sequential(smooth(padding="valid"), Gate(), smooth(padding="valid"))
    rows = net.summary((1, 20, 24)).rows
    assert [row.receptive_field for row in rows] == [(3, 3), (20, 24), (20, 24), (20, 24)]
    assert rows[-1].output_shape == (1, 16, 20)


def test_maps_that_do_not_lie_on_each_other_are_seen_place_by_place():
    class Odd(nn.Module):
        def __init__(self):
            self.a, self.b = smooth(stride=2), smooth(padding="valid")

        def forward(self, x):
            return ops.concatenate([self.a(x), self.b(x)[:, :, :8, :8]], axis=1)

    net = nn.Sequential(Odd(), nn.Conv2d(2, 1))
    row = net.summary((1, 16, 16)).rows[-1]
    assert row.receptive_field == (11, 11)  # at the end: 6 ... 9 of one, 14 ... 17 of the other
    assert row.jump == ()


def test_flatten_keeps_fields_and_dense_sees_all():
    net = nn.Sequential(smooth(padding="valid"), nn.Flatten(), nn.Dense(None, 3))
    rows = net.summary((1, 9, 7)).rows
    assert [row.receptive_field for row in rows] == [(3, 3), (3, 3), (9, 7)]


def loops_of_conv(x, layer, y):
    """Count the products that the definition of a convolution makes, one by one."""
    count = 0
    for _ in range(x[0]):
        for _ in range(y[1]):
            for _ in range(y[2] * y[3]):
                for _ in range(layer.weight.shape[1]):
                    count += layer.weight.shape[2] * layer.weight.shape[3]
    return count


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6),
        nn.Conv2d(4, 6, size=(1, 5), stride=2, padding="valid", groups=2),
        nn.Conv2d(4, 4, dilation=2, groups=4, normalizer=nn.BatchNorm2d),
    ],
)
def test_macs_of_convolutions(layer):
    row = layer.summary((4, 9, 7)).rows[0]
    assert row.macs == loops_of_conv((1, 4, 9, 7), layer, (1, *row.output_shape))


def test_macs_and_bytes_of_the_rest():
    net = nn.Sequential(nn.Conv2d(3, 4), nn.BatchNorm2d(4), nn.MaxPool2d(), nn.Flatten())
    net.append(nn.Dense(None, 5), "head")
    table = net.summary((3, 6, 4))
    assert [row.macs for row in table.rows] == [6 * 4 * 4 * 27, 0, 0, 0, 24 * 5]
    assert [row.activation_bytes for row in table.rows] == [384, 384, 96, 96, 20]
    assert [row.parameters for row in table.rows] == [112, 8, 0, 0, 125]
    assert [row.parameter_bytes for row in table.rows] == [448, 4 * 16 + 8, 0, 0, 500]
    assert (table.parameters, table.macs) == (net.count_parameters(), 2712)
    assert table.activation_bytes == 980
    assert table.parameter_bytes == sum(a.nbytes for a in net.state_dict().values())


def test_layers_called_twice_and_parameters_of_blocks_count_once():
    class Block(nn.Module):
        def __init__(self):
            self.scale = nn.Parameter([1.0, 1.0, 1.0])
            self.conv = nn.Conv2d(3, 3, bias=False)

        def forward(self, x):
            return self.conv(self.conv(x)) * self.scale.reshape(1, 3, 1, 1)

    net = nn.Sequential(Block())
    rows = net.summary((3, 8, 8)).rows
    assert [(row.name, row.parameters) for row in rows] == [("0.conv", 81), ("0.conv", 0), ("0", 3)]
    assert rows[1].receptive_field == (5, 5)
    assert rows[0].macs == rows[1].macs == 64 * 81


def test_nothing_changes_but_lazy_layers_are_built():
    net = nn.Sequential(
        nn.Conv2d(None, 4, normalizer=nn.BatchNorm2d),
        nn.Dropout(0.5),
        nn.BatchNorm2d(4).eval(),
        nn.GlobalAvgPool2d(),
    )
    calls = []
    net.register_forward_hook(lambda *_: calls.append(1))
    net.build((3, 8, 8))
    before = {name: value.tobytes() for name, value in net.state_dict().items()}
    net.summary((3, 8, 8))
    assert {name: value.tobytes() for name, value in net.state_dict().items()} == before
    assert [m.training for m in net] == [True, True, False, True]
    assert net[0].normalizer.training
    assert not calls
    assert all(p.grad is None for p in net.parameters())
    with pytest.warns(UserWarning, match="never updated"):  # the summary has not used it up
        net[2](Tensor(np.zeros((1, 4, 2, 2), np.float32)))


def test_a_failing_net_gets_its_modes_back():
    net = nn.Sequential(nn.Conv2d(3, 4), nn.Dense(3, 2))
    with pytest.raises(ShapeError, match=r"one example of shape \(3, 8, 8\) .* Dense '1': needs"):
        net.summary((3, 8, 8))
    assert all(m.training for _, m in net.named_modules())


def test_shapes_are_tuples_without_the_batch_axis():
    net = nn.Conv2d(3, 4)
    with pytest.raises(ShapeError, match="without the batch axis"):
        net.summary((8, 3, 32, 32))
    with pytest.raises(ConfigError, match="a shape is a tuple of ints"):
        net.summary(3, 32, 32)
    with pytest.raises(ConfigError, match="give the shape of one example"):
        net.summary()


def test_several_inputs_and_outputs():
    class Two(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Dense(2, 3), nn.Dense(4, 3)

        def forward(self, x, y):
            return {"sum": self.a(x) + self.b(y), "parts": [x, y]}

    assert [row.output_shape for row in Two().summary((2,), (4,)).rows] == [(3,), (3,)]


def test_functional_nets():
    net = nn.Scope(lambda x: layers.dense(layers.flatten(layers.conv2d(layers.dropout(x), 4)), 2))
    rows = net.summary((3, 8, 8)).rows
    assert [row.name for row in rows] == ["dropout", "conv2d", "dense"]
    assert all(m.training for _, m in net.named_modules())


def test_the_table_reads_well():
    net = nn.Sequential(
        stem=nn.Conv2d(3, 8, size=(3, 5), normalizer=nn.BatchNorm2d, activation=ops.relu),
        pool=nn.MaxPool2d(),
    )
    assert str(net.summary((3, 32, 32))).splitlines() == [
        "Sequential, input 3 x 32 x 32",
        "layer  kind                         output       parameters     MACs     bytes  weights"
        "  sees  step",
        "-" * 99,
        "stem   Conv2d + BatchNorm2d + relu  8 x 32 x 32         376  368,640  32.0 KiB  1.5 KiB"
        "   3x5     1",
        "pool   MaxPool2d                    8 x 16 x 16           0        0   8.0 KiB      0 B"
        "   4x6     2",
        "-" * 99,
        "total                                                   376  368,640  40.0 KiB  1.5 KiB",
        f"training keeps {KEPT / 1024:.1f} KiB of one example for the way back",
        f"without a way back, {PEAK / 1024:.1f} KiB at most are in use at once",
    ]


# Of the net above: the image; the convolution's result, normalised, rectified; the pooled maps,
# their winners' places, four numbers for each channel that normalise it, and half (the summary
# runs two examples) of the tables that say where 16 windows begin and end along both axes
KEPT = 4 * (3 + 3 * 8) * 32 * 32 + 2 * 4 * 8 * 16 * 16 + 8 * 16 + 2 * 2 * 16 * 8 // 2
PEAK = 2 * 4 * 8 * 32 * 32


def test_memory_is_that_of_what_is_alive():
    class Residual(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Dense(100, 100, bias=False), nn.Dense(100, 50, bias=False)

        def forward(self, x):
            y = self.a(x)  # x and y: 800 bytes
            z = (y + x).reshape(10, 10)  # x, y and their sum: 1,200 bytes; a view of it
            return self.b(z.reshape(1, 100))

    table = Residual().summary((100,))
    assert table.peak_bytes == 1200
    assert table.kept_bytes == 400 + 400 + 400 + 200  # x, y, their sum, and the result
    doubled = nn.Sequential(Residual(), nn.Function(lambda x: x * 2 + x)).summary((100,))
    assert doubled.peak_bytes == 1200
    assert doubled.kept_bytes == 1400 + 200 + 200 + 4  # a factor, and what it makes, and the sum
    assert nn.Function(lambda x: x * 2).summary((100,)).kept_bytes == 0  # nothing to train

    def long_needed(x):
        a = x * 2  # x, a: 800 bytes
        b = a.reshape(10, 10).sum()  # a view of a, needed no more
        c = ops.exp(x) * b  # x, a, exp(x): 1,200 bytes and a number
        return a + c

    assert nn.Function(long_needed).summary((100,)).peak_bytes == 1204


def test_macs_of_products():
    class Products(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(np.ones((4, 6, 5, 3), np.float32))
            self.up = nn.ConvTranspose2d(4, 6, (5, 3), stride=2, bias=False)

        def forward(self, x):
            y = ops.conv_transpose2d(x, self.weight, stride=2) + self.up(x).sum()
            z = y.reshape(1, 6, -1).transpose(0, 2, 1) @ np.ones((6, 8), np.float32)
            return ops.einsum("...ab,bc,c->...ac", z, np.ones((8, 2), np.float32), [1.0, 1.0])

    rows = Products().summary((4, 3, 2)).rows
    painted = 4 * 3 * 2 * 6 * 5 * 3  # each number of x, through each weight it meets
    length = (2 * 2 + 5) * (2 * 1 + 3)
    product, sums = length * 6 * 8, length * 8 * 2 * 2  # two further operands
    assert [(row.name, row.macs) for row in rows] == [
        ("up", painted),
        ("", painted + product + sums),
    ]
    assert [row.parameters for row in rows] == [360, 360]
    assert rows[1].output_shape == (length, 2)
