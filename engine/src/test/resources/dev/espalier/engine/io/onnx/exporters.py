"""Writes the files of this folder that newer exporters made: dynamo-*.onnx and legacy-*.onnx by PyTorch 2.13 with
onnxscript 0.7.2, keras-*.onnx by Keras 3.15.1 with PyTorch as its backend. Nothing in them is changed afterwards."""
import os

os.environ["KERAS_BACKEND"] = "torch"
import keras
import torch
from keras import layers
from torch import nn
from torch.export import Dim

L = nn.Linear


class Net(nn.Module):
    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.function = forward

    def forward(self, *inputs):
        return self.function(self, *inputs)


def dynamo(name, model, *samples, inputs=("x",), outputs=("y",), opset=None):
    torch.manual_seed(0)
    model.eval()
    sizes = {0: Dim("batch"), 1: Dim("sequence")}
    shapes = tuple({i: sizes[i] for i in range(sample.dim() - 1)} for sample in samples)
    dynamic = {"inputs": shapes} if isinstance(model, Net) else shapes
    program = torch.export.export(model, samples, dynamic_shapes=dynamic)
    for node in program.graph.nodes:  # which would name folders of the machine
        node.meta.pop("stack_trace", None)
    torch.onnx.export(program, samples, f"dynamo-{name}.onnx", dynamo=True, input_names=list(inputs),
                      output_names=list(outputs), opset_version=opset, external_data=False)


def legacy(name, model, sample, opset=17):
    model.eval()
    axes = {i: f"d{i}" for i in range(sample.dim() - 1)}
    torch.onnx.export(model, (sample,), f"legacy-{name}.onnx", dynamo=False, opset_version=opset, input_names=["x"],
                      output_names=["y"], dynamic_axes={"x": axes, "y": axes})


def mlp(activation):
    torch.manual_seed(0)
    return nn.Sequential(L(4, 6), activation, L(6, 3))


class Clamp(nn.Module):
    def forward(self, x):
        return x.clamp(min=0)


def swiglu(net, x):
    h = net.first(x)
    gate, up = net.both(h).chunk(2, dim=-1)
    return net.last(net.norm(net.down(nn.functional.silu(gate) * up) + h))


def parts():
    torch.manual_seed(0)
    return dict(first=L(4, 6), both=L(6, 10, bias=False), down=L(5, 6, bias=False), last=L(6, 3))


def branches(net, u, p):
    return torch.einsum("bi,bi->b", net.b(u), net.t(p)).unsqueeze(-1) + net.bias


def heads(net, x):
    h = torch.relu(net.stem(x))
    h = torch.cat([net.mid(net.mid(h)) + h, x], -1)
    return torch.log_softmax(net.kind(h), -1), net.box(h)


x = torch.randn(5, 4)
sequence = torch.randn(5, 7, 4)
dynamo("softsign", mlp(nn.Softsign()), x)
dynamo("gelu", mlp(nn.GELU()), x)
dynamo("gelu18", mlp(nn.GELU("tanh")), x, opset=18)
dynamo("softplus", mlp(nn.Softplus(2.5, 20)), x)
dynamo("clamp", mlp(Clamp()), x)
dynamo("prelu", mlp(nn.PReLU()), sequence)
slopes = nn.PReLU(6)
slopes.weight.data.uniform_(-0.5, 0.5)
dynamo("slopes", mlp(slopes), x)
dynamo("swiglu", Net(swiglu, norm=nn.RMSNorm(6), **parts()), sequence)
torch.manual_seed(0)
bias = nn.Parameter(torch.tensor([0.3]))
dynamo("branches", Net(branches, b=nn.Sequential(L(3, 6), nn.Tanh(), L(6, 5)), t=nn.Sequential(L(2, 5), nn.Tanh()),
                       bias=bias), torch.randn(5, 3), torch.randn(5, 2), inputs=("u", "p"))
dynamo("heads", Net(heads, stem=L(4, 6), mid=L(6, 6), kind=L(10, 3), box=L(10, 2)), x, outputs=("y", "box"))
legacy("softsign", mlp(nn.Softsign()), x)
legacy("gelu", mlp(nn.GELU("tanh")), sequence)
legacy("swiglu", Net(swiglu, norm=nn.LayerNorm(6), **parts()), sequence)


def export(name, model):
    inputs = [keras.random.normal([5] + [2 if size is None else size for size in each.shape[1:]])
              for each in model.inputs]
    model(inputs if len(inputs) > 1 else inputs[0])
    for weight in model.weights:  # biases and statistics, which begin as zeros and ones
        weight.assign(keras.random.uniform(weight.shape, 0.1, 0.9, seed=len(weight.path)))
    model.export(f"keras-{name}.onnx", format="onnx", verbose=False)


def chain(*parts, shape=(4,)):
    return keras.Sequential([keras.Input(shape), *parts])


export("mlp", chain(layers.Dense(6, activation="gelu"), layers.Dropout(0.5), layers.Dense(5, activation="softsign"),
                    layers.Dense(3, activation="softmax")))
export("batchnorm", chain(layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 1.0, 0.5]),
                          layers.Dense(6), layers.BatchNormalization(), layers.ReLU(), layers.Dense(3)))
export("sequence", chain(layers.Dense(6, activation="mish"), layers.PReLU(shared_axes=[1]), layers.Dense(3),
                         shape=(None, 4)))
inputs = keras.Input((4,))
h = layers.Dense(6, activation="relu")(inputs)
h = layers.Concatenate()([layers.Add()([h, layers.Dense(6, activation="tanh")(h)]), inputs])
export("residual", keras.Model(inputs, [layers.Dense(3)(h), layers.Dense(2)(h)]))
u, p = keras.Input((5,)), keras.Input((2,))
export("dot", keras.Model([u, p], layers.Dot(1)([layers.Dense(6)(layers.Dense(7, activation="tanh")(u)),
                                                 layers.Dense(6, activation="tanh")(p)])))
