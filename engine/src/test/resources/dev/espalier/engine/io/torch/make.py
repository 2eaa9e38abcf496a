"""Writes the files of this folder; run with PyTorch (they were made by 1.13)."""
import collections
import torch

model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
with torch.no_grad():
    for first, parameter in zip((1, 10, 20, 30), model.parameters()):
        parameter.copy_(torch.arange(first, first + parameter.numel()).reshape(parameter.shape))
state = model.state_dict()
torch.save(state, "zip.pt")
torch.save(state, "legacy.pt", _use_new_zipfile_serialization=False)
torch.save(state, "protocol4.pt", pickle_protocol=4)
torch.save({"epoch": 3, "model_state_dict": collections.OrderedDict(("module." + k, v) for k, v in state.items()),
            "optimizer": torch.optim.Adam(model.parameters()).state_dict()}, "checkpoint.pt")
torch.save(model, "module.pt")
weight = state["0.weight"]
wide = torch.arange(100.)
views = {"transposed": weight.t(), "parameter": model[0].weight, "half": weight.half(), "bfloat16": weight.bfloat16(),
         "double": weight.double(), "scalar": torch.tensor(7), "part": wide[10:16].reshape(2, 3), "strided": wide[3::40],
         "empty": torch.zeros(0, 4), "name": "not a tensor"}
torch.save(views, "views.pt")
torch.save(views, "views-legacy.pt", _use_new_zipfile_serialization=False)
torch.save({"0.weight": torch.ones(1).expand(5, 5)}, "expanded.pt")
torch.jit.save(torch.jit.script(model), "script.pt")
layer = torch.nn.Linear(3, 3)
with torch.no_grad():
    layer.weight.copy_(torch.arange(9.).reshape(3, 3))
    layer.bias.zero_()
torch.save(torch.nn.Sequential(layer, torch.nn.ReLU(), layer).state_dict(), "tied.pt")
