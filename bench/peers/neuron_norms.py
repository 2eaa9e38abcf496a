#!/usr/bin/env python3
"""Removes the hidden neurons of a ReLU network whose incoming weights have the least l2 norm, the same fraction of each
layer, and prints the test accuracy: what `espalier prune --prune-neurons` has to beat.

  neuron_norms.py MODEL.safetensors MNIST
"""
import gzip
import pathlib
import sys

import numpy as np
import torch

from sparsegpt import safetensors

state = safetensors(sys.argv[1])
layers = [(state[key], state[key[:-6] + "bias"]) for key in sorted(state) if key.endswith("weight")]
images, labels = (
    np.frombuffer(gzip.open(pathlib.Path(sys.argv[2]) / f"t10k-{name}-ubyte.gz").read(), np.uint8, offset=skip)
    for name, skip in (("images-idx3", 16), ("labels-idx1", 8)))
x = torch.tensor(images.reshape(len(labels), -1) / np.float32(255))
for removed in (0, 0.25, 0.5, 0.75):
    a = x
    for weight, bias in layers[:-1]:
        least = weight.norm(dim=1).argsort()[:round(removed * len(weight))]
        a = torch.relu(a @ weight.T + bias)
        a[:, least] = 0
    y = a @ layers[-1][0].T + layers[-1][1]
    print(f"{removed:.2f} {100 * (y.argmax(1).numpy() == labels).mean():.2f}")
