#!/usr/bin/env python3
"""Times sgemm of matrix libraries, in turns, each in a process of its own, and prints a table of GFLOP/s.

  sgemm.py [--threads N] [--rounds N] LIBRARY...

A library is a file: oneDNN's (by dnnl_sgemm) or one with CBLAS's interface. MKL's libmkl_rt.so.2 takes its threads from
libgomp, like oneDNN. Needs NumPy.
"""
import argparse
import ctypes
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

# m, n, k, transposes; + adds to C. Products of scoring 1024-2048-2048-10 and 784-300-100-10 in batches of 512.
SHAPES = ["2048,2048,2048,NN", "2048,1024,2048,NN", "512,2048,2048,NT", "2048,2048,512,TN+", "512,300,784,NT",
          "5120,300,100,NN", "300,784,512,TN+"]
ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112


def sgemm(library):
    """A function of (transposes, m, n, k, a, b, beta, c)."""
    if hasattr(library, "dnnl_sgemm"):
        def call(transposes, m, n, k, a, b, beta, c):
            i = ctypes.c_int64
            library.dnnl_sgemm(*(ctypes.c_char(t.encode()) for t in transposes), i(m), i(n), i(k), ctypes.c_float(1),
                               pointer(a), i(a.shape[1]), pointer(b), i(b.shape[1]), ctypes.c_float(beta),
                               pointer(c), i(n))
    else:
        def call(transposes, m, n, k, a, b, beta, c):
            i = ctypes.c_int
            library.cblas_sgemm(i(ROW_MAJOR), *(i(TRANSPOSED if t == "T" else PLAIN) for t in transposes), i(m), i(n),
                                i(k), ctypes.c_float(1), pointer(a), i(a.shape[1]), pointer(b), i(b.shape[1]),
                                ctypes.c_float(beta), pointer(c), i(n))
    return call


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


def measure(path):
    """GFLOP/s of each shape, of the fastest of half a second's calls."""
    import numpy as np
    call = sgemm(ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL))
    random = np.random.default_rng(0)
    rates = []
    for shape in SHAPES:
        m, n, k = map(int, shape.split(",")[:3])
        transposes = shape.split(",")[3][:2]
        beta = 1.0 if shape.endswith("+") else 0.0
        a = random.standard_normal((m, k), dtype=np.float32)
        b = random.standard_normal((k, n), dtype=np.float32)
        c = np.zeros((m, n), np.float32)
        expected = a @ b
        if transposes[0] == "T":
            a = np.ascontiguousarray(a.T)
        if transposes[1] == "T":
            b = np.ascontiguousarray(b.T)
        call(transposes, m, n, k, a, b, beta, c)
        if not np.abs(c - expected).max() < 1e-4 * np.abs(expected).max():
            raise SystemExit(f"{path}: {shape} is wrong")
        best, end = float("inf"), time.perf_counter() + 0.5
        while time.perf_counter() < end:
            start = time.perf_counter()
            call(transposes, m, n, k, a, b, beta, c)
            best = min(best, time.perf_counter() - start)
        rates.append(2e-9 * m * n * k / best)
    print(json.dumps(rates))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("libraries", nargs="+", metavar="LIBRARY")
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.libraries[0])
        return
    for library in arguments.libraries:
        if not pathlib.Path(library).is_file():
            parser.error(f"{library}: no such file; give the path of a library")
    rates = {library: [] for library in arguments.libraries}
    for _ in range(arguments.rounds):
        for library in arguments.libraries:
            folder = str(pathlib.Path(library).resolve().parent)
            environment = os.environ | {
                "LD_LIBRARY_PATH": f"{folder}:{os.environ.get('LD_LIBRARY_PATH', '')}", "MKL_THREADING_LAYER": "GNU"}
            for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
                environment[variable] = str(arguments.threads)
            result = subprocess.run([sys.executable, __file__, "--measure", library], env=environment,
                                    stdout=subprocess.PIPE, check=True)
            rates[library].append(json.loads(result.stdout))
    print(f"| {arguments.threads} threads, GFLOP/s | " + " | ".join(SHAPES) + " |")
    print("|---" * (len(SHAPES) + 1) + "|")
    for library, rounds in rates.items():
        cells = [f"{statistics.median(r):.0f} ({min(r):.0f}–{max(r):.0f})" for r in zip(*rounds)]
        print(f"| {pathlib.Path(library).name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
