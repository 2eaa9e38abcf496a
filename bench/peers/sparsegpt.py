#!/usr/bin/env python3
"""Prunes linear layers by Wanda (Sun et al. 2023) and SparseGPT (Frantar and Alistarh 2023), written from the papers,
and compares the errors of their outputs with those of models that Espalier has pruned.

  sparsegpt.py MODEL.pt CAPTURED TEST [PRUNED.safetensors...]     (folders of inputs as of docs/transformers.md)

prints E|z - z'|^2 / E|z|^2 on TEST, the mean of the layers and each; writes the peers' models beside MODEL.pt.
"""
import json
import pathlib
import struct
import sys

import numpy as np
import torch

BLOCK, DAMPING = 128, 0.01

def wanda(weight, x, keep, group):
    """Magnitude times norm of the input; the scope is the row, or a group of `group` neighbours in it."""
    groups = (weight.abs() * x.norm(dim=0)).reshape(weight.shape[0], -1, group or weight.shape[1])
    kept = groups.topk(int(groups.shape[2] * keep), dim=2).indices
    return weight * torch.zeros_like(groups).scatter(2, kept, 1).reshape(weight.shape)


def sparsegpt(weight, x, keep, group):
    """Columns from left to right; each error moves into the columns that are left, by the inverse Hessian."""
    w = weight.double().clone()
    hessian = x.double().T @ x.double()
    dead = hessian.diagonal() == 0
    hessian[dead, dead] = 1
    w[:, dead] = 0
    hessian += DAMPING * hessian.diagonal().mean() * torch.eye(len(hessian), dtype=torch.float64)
    inverse = torch.linalg.cholesky(torch.linalg.inv(hessian), upper=True)
    for first in range(0, w.shape[1], BLOCK):
        last = min(first + BLOCK, w.shape[1])
        removed = torch.zeros(w.shape[0], last - first, dtype=torch.bool)
        if not group:
            score = w[:, first:last] ** 2 / inverse.diagonal()[first:last] ** 2
            removed = score <= score.flatten().kthvalue(int(score.numel() * (1 - keep))).values
        errors = torch.zeros(w.shape[0], last - first, dtype=torch.float64)
        for j in range(first, last):
            if group and j % group == 0:
                score = w[:, j:j + group] ** 2 / inverse.diagonal()[j:j + group] ** 2
                least = score.topk(score.shape[1] - int(group * keep), dim=1, largest=False).indices
                removed[:, j - first:j - first + group].scatter_(1, least, True)
            left = torch.where(removed[:, j - first], 0.0, w[:, j])
            errors[:, j - first] = (w[:, j] - left) / inverse[j, j]
            w[:, j:last] -= errors[:, j - first, None] * inverse[j, j:last]
            w[:, j] = left
        w[:, last:] -= errors @ inverse[first:last, last:]
    return w.float()


def safetensors(path):
    content = pathlib.Path(path).read_bytes()
    begin = 8 + struct.unpack("<Q", content[:8])[0]
    return {name: torch.tensor(np.frombuffer(content[begin:][slice(*entry["data_offsets"])], np.float32).copy())
            .reshape(entry["shape"]) for name, entry in json.loads(content[8:begin]).items() if "dtype" in entry}


def error(dense, state, name, x):
    z, changed = (torch.nn.functional.linear(x, s[name + ".weight"], s.get(name + ".bias")) for s in (dense, state))
    return float((z - changed).square().sum() / z.square().sum())


if __name__ == "__main__":
    model, captured, test = (pathlib.Path(argument) for argument in sys.argv[1:4])
    dense, states = torch.load(model), {path: safetensors(path) for path in sys.argv[4:]}
    inputs = {name: torch.tensor(np.load(captured / f"{name}.npy")) for name in (key[:-7] for key in dense)
              if (captured / f"{name}.npy").exists()}
    for method in (wanda, sparsegpt):
        for pattern, group in (("50", 0), ("2:4", 4)):
            path = str(model.parent / f"{method.__name__}-{pattern.replace(':', '')}.pt")
            states[path] = {**dense, **{key: method(dense[key], inputs[key[:-7]], 0.5, group)
                                        for key in dense if key[:-7] in inputs and key.endswith(".weight")}}
            torch.save(states[path], path)
    print(*["mean", *inputs], sep="\t")
    for path, state in states.items():
        errors = [error(dense, state, name, torch.tensor(np.load(test / f"{name}.npy"))) for name in inputs]
        print(*[f"{value:.5f}" for value in [np.mean(errors), *errors]], path, sep="\t")
