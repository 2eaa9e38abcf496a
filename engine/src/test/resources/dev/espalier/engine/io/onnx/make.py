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
