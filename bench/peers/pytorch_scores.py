#!/usr/bin/env python3
"""Elimination-compensation scores as a good PyTorch user writes them: batched, in place where it helps, and without
autograd, since the gradients of a dense ReLU network are products.

  pytorch_scores.py FOLDER [--threads N] [--batch N] [--repeat N] [--cuda [--no-tf32]]

reads FOLDER/network.json and the float32 .npy files beside it (see PeerScores.java), compares its scores with those
that Espalier left there, and prints its times.
"""
import argparse
import ctypes
import json
import os
import pathlib
import re
import time

if "avx512f" in pathlib.Path("/proc/cpuinfo").read_text():
    # OpenBLAS 0.3.21 takes processors that it does not know for a Prescott, and multiplies by SSE.
    os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")

import numpy as np
import torch


def scores(weights, biases, samples, batch):
    """Importance and compensation of every layer. Hidden layers are ReLU, the last is linear; y is its output."""
    layers = len(weights)
    outputs = weights[-1].shape[0]
    device = weights[0].device
    m0 = [torch.zeros(w.shape[0], device=device) for w in weights]
    m1 = [torch.zeros_like(w) for w in weights]
    m2 = [torch.zeros_like(w) for w in weights]
    pilot = None
    for start in range(0, samples.shape[0], batch):
        x = samples[start:start + batch]
        activations = [x]
        for l in range(layers):
            z = torch.addmm(biases[l], activations[-1], weights[l].t())
            activations.append(torch.relu_(z) if l < layers - 1 else z)
        if pilot is None:
            pilot = [a.mean(dim=0) for a in activations[:-1]]

        # Backward for all outputs at once: stacked copies of the batch, (outputs · samples) × width.
        sensitivity = [None] * layers
        sensitivity[-1] = torch.ones(x.shape[0], outputs, device=device)
        gradient = weights[-1].unsqueeze(1).expand(outputs, x.shape[0], -1)
        for l in range(layers - 2, -1, -1):
            gradient = gradient * (activations[l + 1] > 0)
            sensitivity[l] = gradient.square().sum(dim=0)
            if l > 0:
                gradient = torch.matmul(gradient.reshape(-1, gradient.shape[-1]), weights[l])
                gradient = gradient.view(outputs, x.shape[0], -1)

        for l in range(layers):
            shifted = activations[l] - pilot[l]
            s = sensitivity[l]
            m0[l] += s.sum(dim=0)
            m1[l].addmm_(s.t(), shifted)
            m2[l].addmm_(s.t(), shifted.square_())
    result = []
    for l in range(layers):
        mean = torch.where(m0[l] > 0, 1 / m0[l], torch.zeros_like(m0[l])).unsqueeze(1) * m1[l]
        importance = weights[l].square() * (m2[l] - mean * m1[l]).clamp_(min=0) / samples.shape[0]
        alive = (m0[l] > 0).float().unsqueeze(1)
        result.append((importance, weights[l] * (pilot[l] * alive + mean)))
    return result


def difference(ours, theirs):
    """Relative to the norm: where rounding flips the sign of a pre-activation, single elements differ by more."""
    return ((ours - theirs).norm() / theirs.norm()).item()


def blas():
    """OpenBLAS's threads and kernels, where PyTorch uses it."""
    match = re.search(r"\S*/libopenblas\S*|\S*openblas\S*/libblas\S*", pathlib.Path("/proc/self/maps").read_text())
    if not match:
        return "its own"
    library = ctypes.CDLL(match.group())
    library.openblas_get_corename.restype = ctypes.c_char_p
    threads = ["without threads", "pthreads", "OpenMP"][library.openblas_get_parallel()]
    return f"OpenBLAS, {threads}, {library.openblas_get_corename().decode()}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=5, help="time for so long, and three times at least")
    parser.add_argument("--cuda", action="store_true", help="on the GPU, with TF32 products")
    parser.add_argument("--no-tf32", action="store_true", help="with float32 products")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_grad_enabled(False)
    device = torch.device("cuda" if arguments.cuda else "cpu")
    if arguments.cuda:
        torch.backends.cuda.matmul.allow_tf32 = not arguments.no_tf32

    def load(name):
        return torch.from_numpy(np.load(arguments.folder / name)).to(device)

    layers = json.loads((arguments.folder / "network.json").read_text())["layers"]
    weights = [load(f"weight{l}.npy") for l in range(layers)]
    biases = [load(f"bias{l}.npy").flatten() for l in range(layers)]
    samples = load("samples.npy")

    result = scores(weights, biases, samples, arguments.batch)
    worst = max(max(difference(importance, load(f"importance{l}.npy")),
                    difference(compensation, load(f"compensation{l}.npy")))
                for l, (importance, compensation) in enumerate(result))
    if not worst < (1e-2 if arguments.cuda else 1e-3):
        raise SystemExit(f"the scores differ by {worst} of their norm")

    seconds = []
    begin = time.perf_counter()
    while len(seconds) < 3 or time.perf_counter() < begin + arguments.seconds:
        start = time.perf_counter()
        scores(weights, biases, samples, arguments.batch)
        if arguments.cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "difference": worst, "blas": "cuBLAS" if arguments.cuda else blas()}))


if __name__ == "__main__":
    main()
