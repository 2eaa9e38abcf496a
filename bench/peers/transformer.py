#!/usr/bin/env python3
"""A small transformer encoder on MNIST, whose tokens are pairs of rows, to prune layer by layer.

  transformer.py MNIST FOLDER              trains it into FOLDER/model.pt, unless it is there, and captures the inputs
                                           of its layers, by the script of docs/transformers.md: FOLDER/captured, of
                                           1000 training images, to prune with, and FOLDER/test, of 500 test images
  transformer.py MNIST FOLDER MODEL...     prints the test accuracy of models, state dicts or safetensors files
"""
import gzip
import pathlib
import re
import sys

import numpy as np
import torch

from sparsegpt import safetensors

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "transformers.md"


class Encoder(torch.nn.Module):
    def __init__(self, width=64, heads=4, layers=2):
        super().__init__()
        self.embed = torch.nn.Linear(56, width)
        self.place = torch.nn.Parameter(0.02 * torch.randn(14, width))
        layer = torch.nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, activation="gelu",
                                                 batch_first=True, norm_first=True)
        self.encoder = torch.nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = torch.nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.encoder(self.embed(x) + self.place).mean(1))


def mnist(folder, part):
    def read(kind, skip):
        return np.frombuffer(gzip.open(folder / f"{part}-{kind}-ubyte.gz").read(), np.uint8, offset=skip)
    return (torch.tensor(read("images-idx3", 16).reshape(-1, 14, 56) / np.float32(255)),
            torch.tensor(read("labels-idx1", 8).astype(np.int64)))


def train(model, x, y):
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, len(x) // 128 + 5)
    order = torch.randperm(len(x))
    for first in range(0, len(x) - 127, 128):
        batch = order[first:first + 128]
        loss = torch.nn.functional.cross_entropy(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def accuracy(model, x, y):
    with torch.no_grad():
        return sum(int((model(x[i:i + 500]).argmax(1) == y[i:i + 500]).sum()) for i in range(0, len(x), 500)) / len(x)


torch.manual_seed(0)
folder = pathlib.Path(sys.argv[2])
images, labels = mnist(pathlib.Path(sys.argv[1]), "train")
test_images, test_labels = mnist(pathlib.Path(sys.argv[1]), "t10k")
model = Encoder()
if len(sys.argv) == 3:
    if not (folder / "model.pt").exists():
        train(model, images, labels)
        torch.save(model.state_dict(), folder / "model.pt")
    model.load_state_dict(torch.load(folder / "model.pt"))
    exec(re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL).group(1))
    capture(model, [(images[i:i + 100],) for i in range(0, 1000, 100)], folder / "captured")
    capture(model, [(test_images[i:i + 100],) for i in range(0, 500, 100)], folder / "test")
for file in sys.argv[3:]:
    model.load_state_dict(safetensors(file) if file.endswith(".safetensors") else torch.load(file))
    model.eval()
    print(f"{accuracy(model, test_images, test_labels):.4f} {file}")
