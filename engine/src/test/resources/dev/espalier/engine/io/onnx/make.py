"""Writes the files of this folder; run with PyTorch (they were made by 1.13) and onnx."""
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

torch.manual_seed(0)


def export(name, *hidden, last=(), bias=True, opset=17):
    model = nn.Sequential(nn.Linear(4, 5, bias=bias), *hidden, nn.Linear(5, 3, bias=bias), *last)
    model.eval()
    torch.onnx.export(model, torch.zeros(2, 4), name, opset_version=opset, input_names=["x"], output_names=["y"],
                      dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})


export("relu.onnx", nn.ReLU(), nn.Dropout(0.5))
export("gelu.onnx", nn.GELU(), opset=16)
export("silu.onnx", nn.SiLU(), last=[nn.Softmax(-1)])
export("elu.onnx", nn.ELU(0.5), last=[nn.LogSoftmax(-1)])
export("leaky.onnx", nn.LeakyReLU(0.2), last=[nn.Sigmoid()])
export("tanh.onnx", nn.Tanh(), bias=False)
export("relu6.onnx", nn.ReLU6())
export("layernorm.onnx", nn.LayerNorm(5), opset=16)


class Net(nn.Module):
    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.function = forward

    def forward(self, x):
        return self.function(self, x)


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-3))


class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(3.0 * x)


def export_net(name, model, width=4, opset=17):
    model.eval()
    for buffer in model.buffers():  # the statistics of batch normalisations
        if buffer.dtype.is_floating_point:
            buffer.data.uniform_(0.5, 1.5)
    torch.onnx.export(model, torch.zeros(2, width), name, opset_version=opset, input_names=["x"], output_names=["y"],
                      dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})


def nerf(net, x):
    h = torch.relu(net.b(torch.relu(net.a(x))))
    h = torch.relu(net.c(torch.cat([h, x], -1)))
    return torch.cat([torch.sigmoid(net.colour(h)), torch.relu(net.density(h))], -1)


def swiglu(net, x):
    h = net.first(x)
    return net.last(net.down(nn.functional.silu(net.gate(h)) * net.up(h)) + h)


def highway(net, x):
    h = net.first(x)
    gate = torch.sigmoid(net.gate(h))
    return net.last(gate * torch.relu(net.a(h)) + (1 - gate) * h)


L = nn.Linear
export_net("nerf.onnx", Net(nerf, a=L(4, 6), b=L(6, 6), c=L(10, 5), colour=L(5, 3), density=L(5, 1)))
export_net("swiglu.onnx", Net(swiglu, first=L(4, 6), gate=L(6, 5, bias=False), up=L(6, 5, bias=False),
                              down=L(5, 6, bias=False), last=L(6, 2)))
export_net("rms.onnx", Net(lambda net, x: net.b(net.norm(net.a(x))), a=L(4, 6), norm=RMSNorm(6), b=L(6, 2)))
export_net("layernorm17.onnx", nn.Sequential(L(4, 6), nn.LayerNorm(6), nn.GELU(), L(6, 2)))
export_net("batchnorm.onnx", nn.Sequential(nn.BatchNorm1d(4), L(4, 6), nn.ReLU(), nn.BatchNorm1d(6), L(6, 2)))
export_net("siren.onnx", nn.Sequential(L(4, 6), Sine(), L(6, 6), Sine(), L(6, 2)))
deeponet = Net(lambda net, x: torch.sum(net.branch(x[:, :3]) * net.trunk(x[:, 3:]), dim=-1, keepdim=True) + net.bias,
               branch=nn.Sequential(L(3, 6), nn.Tanh(), L(6, 5)), trunk=nn.Sequential(L(2, 5), nn.Tanh()))
deeponet.bias = nn.Parameter(torch.tensor([0.3]))
export_net("deeponet.onnx", deeponet, width=5)
export_net("glu.onnx", Net(lambda net, x: net.b(nn.functional.glu(net.a(x))), a=L(4, 8), b=L(4, 2)))
export_net("highway.onnx", Net(highway, first=L(4, 6), gate=L(6, 6), a=L(6, 6), last=L(6, 2)))
export_net("square.onnx", Net(lambda net, x: net.b(net.a(x) ** 2), a=L(4, 6), b=L(6, 2)))
export_net("mish.onnx", nn.Sequential(L(4, 6), nn.Mish(), L(6, 6), nn.Hardswish(), L(6, 6), nn.Softplus(), L(6, 2)),
           opset=13)
export_net("prelu.onnx", nn.Sequential(L(4, 5), nn.PReLU(), L(5, 3)))


def export_parts(name, model, inputs, outputs, *samples):
    torch.manual_seed(0)
    model.eval()
    torch.onnx.export(model, samples, name, input_names=inputs, output_names=outputs,
                      dynamic_axes={each: {0: "n"} for each in inputs + outputs})


class Parts(Net):
    def forward(self, *inputs):
        return self.function(self, *inputs)


def heads(net, x):
    h = torch.relu(net.stem(x))
    h = h + torch.tanh(net.mid(h))
    return torch.log_softmax(net.cls(h), 1), net.box(h)


export_parts("heads.onnx", Parts(heads, stem=L(12, 16), mid=L(16, 16), cls=L(16, 4), box=L(16, 3)), ["x"], ["y", "box"],
             torch.randn(5, 12))
export_parts("convolution.onnx",
             Parts(lambda net, x: net.b(torch.relu(net.a(torch.flatten(net.p(torch.relu(net.c(x))), 1)))),
                   c=nn.Conv2d(1, 3, 3), p=nn.MaxPool2d(2), a=L(27, 20), b=L(20, 5)), ["image"], ["y"],
             torch.randn(5, 1, 8, 8))
branches = Parts(lambda net, u, p: (net.b(u) * net.t(p)).sum(1, keepdim=True) + net.bias,
                 b=nn.Sequential(L(7, 12), nn.Tanh(), L(12, 10)), t=nn.Sequential(L(2, 12), nn.Tanh(), L(12, 10)))
branches.bias = nn.Parameter(torch.zeros(1))
export_parts("branches.onnx", branches, ["u", "p"], ["y"], torch.randn(5, 7), torch.randn(5, 2))
export_parts("embedding.onnx",
             Parts(lambda net, ids: torch.softmax(net.o(nn.functional.gelu(net.a(net.e(ids).flatten(1)))), -1),
                   e=nn.Embedding(30, 8), a=L(24, 12), o=L(12, 4)), ["ids"], ["y"], torch.randint(0, 30, (5, 3)))
export_parts("softgate.onnx",
             Parts(lambda net, x: torch.log_softmax(net.o(torch.softmax(net.g(x), -1) * torch.relu(net.v(x))), -1),
                   g=L(6, 8), v=L(6, 8), o=L(8, 3)), ["x"], ["y"], torch.randn(5, 6))


def initializer(name, *shape):
    return numpy_helper.from_array(np.random.default_rng(len(name)).normal(size=shape).astype(np.float32), name)


# As skl2onnx and tf2onnx write: in x out, Add, a Cast before and ArgMax behind.
nodes = [helper.make_node("Cast", ["x"], ["c"], to=TensorProto.FLOAT),
         helper.make_node("MatMul", ["c", "coefficient"], ["m"], name="m1"),
         helper.make_node("Add", ["m", "intercepts"], ["a"]),
         helper.make_node("Relu", ["a"], ["r"]),
         helper.make_node("MatMul", ["r", "coefficient1"], ["n"], name="m2"),
         helper.make_node("Add", ["intercepts1", "n"], ["z"]),
         helper.make_node("Softmax", ["z"], ["y"], axis=-1),
         helper.make_node("ArgMax", ["y"], ["label"], axis=1)]
graph = helper.make_graph(
    nodes, "mlp", [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", 4])],
    [helper.make_tensor_value_info("label", TensorProto.INT64, ["n", 1]),
     helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
    [initializer("coefficient", 4, 5), initializer("intercepts", 1, 5), initializer("coefficient1", 5, 3),
     helper.make_tensor("intercepts1", TensorProto.FLOAT, [3], [0.1, 0.2, 0.3])])
model = helper.make_model(graph, producer_name="hand", opset_imports=[helper.make_opsetid("", 13)])
helper.set_model_props(model, {"author": "somebody"})
onnx.save(model, "sklearn.onnx")
# One matrix of two layers.
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "w"], ["a"], name="first"), helper.make_node("MatMul", ["a", "w"], ["y"], name="second")],
    "shared", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])], [initializer("w", 4, 4)])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), "shared.onnx")
torch.manual_seed(0)
export_net("unbiased.onnx", nn.Sequential(L(4, 6, bias=False), nn.BatchNorm1d(6), nn.ReLU(), L(6, 5, bias=False),
                                          nn.BatchNorm1d(5), nn.Tanh(), L(5, 2)))
