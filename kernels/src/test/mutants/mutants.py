#!/usr/bin/env python3
"""Plants bugs in the kernels, one at a time, and says which check notices each: the tests, or a sanitizer under them.

usage: mutants.py [--table FILE] [PATTERN]     after mvn verify -Psanitize; PATTERN picks mutants by name
Ends with 1 if a mutant survives, and with 2 if the tests do not run, or fail without a planted bug. The table in this directory is its output.
"""
import argparse, os, pathlib, re, shutil, subprocess, sys

HERE = pathlib.Path(__file__).resolve().parent
MODULE = HERE.parents[2]
CUDA = MODULE / "src/main/cuda"
WORK = MODULE / "target/mutants"

# file, what is wrong, the test that should notice, the right text, the wrong text
MUTANTS = [
    ("tiles.cuh", "mma: no barrier in the main loop", "DualMoments",
     "    __syncthreads();  // all copies of this step are here, and all have left the stage that is filled next\n", ""),
    ("tiles.cuh", "mma: waits for one copy group too few", "DualMoments",
     "copy_async_wait<STAGES - 2>();", "copy_async_wait<STAGES - 1>();"),
    ("tiles.cuh", "mma: the next step overwrites the stage being read", "DualMoments",
     "ahead = step + STAGES - 1;", "ahead = step + STAGES;"),
    ("tiles.cuh", "mma: fragment rows and columns swapped", "DualMoments",
     "k + l.t + (e >> 1) * 4, w + l.g + (e & 1) * 8", "k + l.t + (e & 1) * 4, w + l.g + (e >> 1) * 8"),
    ("dual_moments.cu", "mma: x truncated, not rounded", "DualMoments",
     "b[2] = {to_tf32(low), to_tf32(high)}", "b[2] = {__float_as_uint(low), __float_as_uint(high)}"),
    ("dual_moments.cu", "mma: half the samples not shifted", "DualMoments", "at(k + l.t + 4, wi + n * 8 + l.g) - c[n];", "at(k + l.t + 4, wi + n * 8 + l.g);"),
    ("tiles.cuh", "mma: reads samples past the end", "DualMoments",
     "row + r < rows ? max(", "row + r < rows + 1 ? max("),
    ("dual_moments.cu", "mma: steps of the other tile's length", "DualMoments",
     "const int first = part.first + step * K;\n    shared.s", "const int first = part.first + step * 32;\n    shared.s"),
    ("product.cu", "mma: steps of the other tile's length", "Product",
     "const int first = part.first + step * K;\n    shared.a", "const int first = part.first + step * 32;\n    shared.a"),
    ("tiles.cuh", "mma: reads a vector's columns past the end", "Product", "min(V, columns - column - c)", "columns - column - c > 0 ? V : 0"),
    ("tiles.cuh", "mma: 32-bit offset of a tile", "LargeOffsets",
     "from + (row + r) * stride + column + c", "from + (int)((unsigned)(row + r) * (unsigned)stride + column + c)"),
    ("tiles.cuh", "mma: right fragment's rows and columns swapped", "Product",
     "k + l.t + e * 4, w + l.g", "k + l.g, w + l.t + e * 4"),
    ("tiles.cuh", "mma: right operand truncated, not rounded", "Product",
     "b[e] = to_tf32(tile.at(k + l.t + e * 4, w + l.g));", "b[e] = __float_as_uint(tile.at(k + l.t + e * 4, w + l.g));"),
    ("product.cu", "mma: right operand transposed the wrong way round", "Product", "OperandTile<N, K, !TRANSPOSE_B>", "OperandTile<N, K, TRANSPOSE_B>"),
    ("product.cu", "last group of tiles as high as the others", "Product", "min(kDown, down - group * kDown)", "kDown"),
    ("product.cu", "C read though beta is 0", "Product", "p.beta != 0.f && s.i < p.rows ?", "s.i < p.rows ?"),
    ("product.cu", "C's columns past the end are stored", "Product", "s.of, s.i < p.rows ? p.columns - s.j : 0", "s.of, s.i < p.rows ? V : 0"),
    ("product.cu", "C's rows taken to lie together", "Product", "(int64_t)s.i * p.stride_c", "(int64_t)s.i * p.columns"),
    ("product.cu", "C at a 32-bit offset", "LargeOffsets", "(int64_t)s.i * p.stride_c", "(int)((unsigned)s.i * (unsigned)p.stride_c)"),
    ("product.cu", "partials at a 32-bit offset", "LargeOffsets",
     "((int64_t)blockIdx.z * p.rows + s.i) * p.columns + s.j", "(int)((blockIdx.z * (unsigned)p.rows + s.i) * p.columns + s.j)"),
    ("product.cu", "parts of a product write over each other", "Product",
     "((int64_t)blockIdx.z * p.rows + s.i) * p.columns", "(int64_t)s.i * p.columns"),
    ("tiles.cuh", "a run's elements read though they do not lie there", "Product", "      if (v < there) run.v[v] = from[v];", "      run.v[v] = from[v];"),
    ("tiles.cuh", "a run's elements past the end are stored", "Product", "      if (v < there) to[v] = run.v[v];", "      to[v] = run.v[v];"),
    ("tiles.cuh", "a whole run read though it does not lie there", "DualMoments", "    if (there > 0) run = load<V>(from);", "    run = load<V>(from);"),
    ("tiles.cuh", "a whole run stored past the end", "DualMoments", "    if (there > 0) store<V>(to, run);", "    store<V>(to, run);"),
    ("product.cu", "fma: no barrier before the tiles are used", "Product",
     "    __syncthreads();  // the tiles are here, and all have left the other stage\n", ""),
    ("product.cu", "fma: one stage, overwritten while it is read", "Product", "const int stage = step % 2;", "const int stage = 0;"),
    ("product.cu", "fma: operand transposed the wrong way round", "Product", "Share<N, K, !TRANSPOSE_B, T::kThreads>", "Share<N, K, TRANSPOSE_B, T::kThreads>"),
    ("product.cu", "fma: inner dimension read past the part's end", "Product", "inner < end && other < width", "other < width"),
    ("product.cu", "fma: 32-bit offset of an operand", "LargeOffsets",
     "INNER_ROWS ? inner * stride + other : other * stride + inner;", "(int)(unsigned)(INNER_ROWS ? inner * stride + other : other * stride + inner);"),
    ("product.cu", "fma: second run of rows beside the first", "Product", "corner.row + i / T::kRun * 64 + row", "corner.row + i / T::kRun * 4 + row"),
    ("sparse_product.cu", "sparse: metadata of the other operand", "SparseProduct", "metadata[i], h);", "metadata[i], 1 - h);"),
    ("sparse_product.cu", "sparse: weights past the end read as zeros, metadata too", "SparseProduct", "min(row + r, rows - 1) : row + r", "row + r : row + r"),
    ("sparse_product.cu", "sparse: inputs past the end multiplied", "SparseProduct", "if (left > 0) {", "if (true) {"),
    ("sparse_product.cu", "sparse: samples past the end read", "SparseProduct", "source < rows && first + c < end", "first + c < end"),
    ("sparse_product.cu", "sparse: no barrier before sums take the stages", "SparseProduct",
     "  if (DEEP > 1) __syncthreads();  // all have left the stages, which the sums take\n", ""),
    ("sparse_product.cu", "sparse: no barrier before sums are added", "SparseProduct", "    __syncthreads();\n    for (int run", "    for (int run"),
    ("sparse_product.cu", "sparse: a warp's sums left out", "SparseProduct", "k < DEEP; k++", "k < DEEP - 1; k++"),
    ("sparse_product.cu", "sparse: outputs of both operands swapped", "SparseProduct",
     "{d[i][j][0][s], d[i][j][0][s + 2], d[i][j][1][s], d[i][j][1][s + 2]}", "{d[i][j][1][s], d[i][j][1][s + 2], d[i][j][0][s], d[i][j][0][s + 2]}"),
    ("sparse_product.cu", "sparse: parts write over each other", "SparseProduct", "p.partials + (int64_t)blockIdx.z * p.samples * p.outputs", "p.partials"),
    ("sparse_product.cu", "sparse: samples past the end are stored", "SparseProduct", "sample < p.samples ? p.outputs - output : 0", "p.outputs - output"),
    ("sparse_product.cu", "sparse: rows of C taken for aligned", "SparseProduct", "p.outputs % 4 == 0 && ((uintptr_t)to & 15) == 0", "p.outputs >= 4"),
    ("sparse_product.cu", "sparse: a pair of inputs swapped", "SparseProduct", "of.x.at(k, w), of.x.at(k + 1, w)", "of.x.at(k + 1, w), of.x.at(k, w)"),
    ("sparse_product.cu", "sparse: samples cut, not rounded", "SparseProduct",
     "to_bf16_pair(pair.v[0], pair.v[1])", "__float_as_uint(pair.v[0]) >> 16 | (__float_as_uint(pair.v[1]) & 0xffff0000u)"),
    ("dual_moments.cu", "inputs past the end are stored", "DualMoments",
     "s.o < m.outputs ? m.inputs - s.i : 0;\n#pragma", "s.o < m.outputs ? m.inputs + 1 - s.i : 0;\n#pragma"),
    ("dual_moments.cu", "outputs past the end are stored", "DualMoments",
     "s.o < m.outputs ? m.inputs - s.i : 0;\n#pragma", "m.inputs - s.i;\n#pragma"),
    ("dual_moments.cu", "parts write over each other", "DualMoments", "m.partial2 + part", "m.partial2"),
    ("dual_moments.cu", "parts add to what the workspace held", "DualMoments", "adds && s.o < m.outputs ?", "s.o < m.outputs ?"),
    ("dual_moments.cu", "moments overwritten, not added to", "DualMoments", "s.second.v[v] += old2[n].v[v];", ""),
    ("dual_moments.cu", "fma: no barrier before the next tile", "DualMoments",
     "    __syncthreads();\n  }\n  put<T::kPer, T::kPer, false>", "  }\n  put<T::kPer, T::kPer, false>"),
    ("dual_moments.cu", "fma: 32-bit offset of a sample", "LargeOffsets",
     "activation[(int64_t)n * m.inputs + i]", "activation[(int)((unsigned)n * m.inputs + i)]"),
    ("dual_moments.cu", "transpose: no barrier", "DualMoments",
     "is written\n    __syncthreads();\n", "is written\n"),
    ("dual_moments.cu", "transpose: no barrier before the next tile", "DualMoments", "    __syncthreads();\n  }\n  shared.sums", "  }\n  shared.sums"),
    ("dual_moments.cu", "transpose: no barrier before the sums", "DualMoments", "= sum;\n  __syncthreads();\n  if (threadIdx.y == 0 && column", "= sum;\n  if (threadIdx.y == 0 && column"),
    ("dual_moments.cu", "transpose: sums of some rows of threads", "DualMoments", "for (int t = 1; t < 8; t++) sum += shared.sums", "for (int t = 1; t < 7; t++) sum += shared.sums"),
    ("dual_moments.cu", "transpose: a tile in two parts", "DualMoments", "(blockIdx.z + 1) * (int64_t)each)", "(blockIdx.z + 1) * (int64_t)each + 1)"),
    ("dual_moments.cu", "transpose: not rounded", "DualMoments",
     "__uint_as_float(to_tf32(next[r]))", "next[r]"),
    ("dual_moments.cu", "transpose: samples in their own order", "DualMoments", "n = (p & ~7) | (p & 3) << 1 | (p >> 2 & 1);", "n = p;"),
    ("dual_moments.cu", "operands: not shifted", "MomentsByProducts", "a.v[v] -= c.v[v];", ""),
    ("dual_moments.cu", "operands: squares not rounded", "MomentsByProducts", "rounded(a.v[v] * a.v[v], round)", "a.v[v] * a.v[v]"),
    ("dual_moments.cu", "operands: squares of rounded numbers", "MomentsByProducts",
     "      squared.v[v] = rounded(a.v[v] * a.v[v], round);\n      a.v[v] = rounded(a.v[v], round);",
     "      a.v[v] = rounded(a.v[v], round);\n      squared.v[v] = rounded(a.v[v] * a.v[v], round);"),
    ("dual_moments.cu", "operands: rounded though float32", "MomentsByProducts", "return round ?", "return true ?"),
    ("dual_moments.cu", "operands: sensitivities not rounded", "MomentsByProducts", "rounded(x.v[v], true)", "x.v[v]"),
    ("dual_moments.cu", "wgmma: x read without the swizzle", "DualMoments",
     "swizzle_128((unsigned)((2 * t + e) * 128 + own.input % T::kBox * 4))", "(unsigned)((2 * t + e) * 128 + own.input % T::kBox * 4)"),
    ("dual_moments.cu", "wgmma: a shift for both inputs of a lane", "DualMoments", "high = pairs[h].y - own.c[1]", "high = pairs[h].y - own.c[0]"),
    ("dual_moments.cu", "wgmma: squares of the wrong fragment row", "DualMoments", "f.squared[2 * h + 1] = round_for_tensor_core(high * high)", "f.squared[2 * h + 1] = round_for_tensor_core(low * low)"),
    ("device.cuh", "wgmma: fragments truncated, not rounded", "DualMoments", "up = bits + 4096;", "up = bits;"),
    ("device.cuh", "wgmma: NaN rounded to zero", "DualMoments", "return (int)up > (int)bits ? up : bits;", "return (bits & 0x7fffffffu) > 0x7f800000u ? 0 : up;"),
    ("dual_moments.cu", "wgmma: descriptor advanced by 64 bytes", "DualMoments", "f[k].squared, operand + 2 * k", "f[k].squared, operand + 4 * k"),
    ("device.cuh", "wgmma: rows 512 bytes apart in the descriptor", "DualMoments", "(uint64_t)(1024 >> 4) << 32", "(uint64_t)(512 >> 4) << 32"),
    ("dual_moments.cu", "wgmma: stage released a slice too early", "DualMoments",
     "      wgmma_wait<2>();\n    };\n    start(0);\n",
     "      wgmma_wait<2>();\n    };\n    mbarrier_arrive_if(leads && step > 0, &shared.empty[(step + T::kStages - 1) % T::kStages]);\n"
     "    start(0);\n    const bool leads = false;\n"),
    ("dual_moments.cu", "wgmma: fragments overwritten while the tensor cores read them", "DualMoments",
     "      wgmma_wait<2>();\n", "      wgmma_wait<3>();\n"),
    ("dual_moments.cu", "wgmma: elements of the slice before", "DualMoments",
     "    shift_and_square(f[3], odd, own);", "    shift_and_square(f[3], even, own);"),
    ("dual_moments.cu", "wgmma: one warp releases for its warpgroup", "DualMoments",
     "    mbarrier_arrive_if(leads && step > 0, &shared.empty[(step + T::kStages - 1) % T::kStages]);",
     "    if (step > 0 && threadIdx.x % 128 == 0)\n"
     "      for (int w = 0; w < 4; w++) mbarrier_arrive(&shared.empty[(step + T::kStages - 1) % T::kStages]);"),
    ("dual_moments.cu", "wgmma: full barrier not waited for", "DualMoments",
     "      mbarrier_wait(&shared.full[s], (unsigned)((step + 1) / T::kStages & 1));\n", ""),
    ("dual_moments.cu", "wgmma: empty barrier not waited for", "DualMoments",
     "    mbarrier_wait(&shared.empty[s], (unsigned)(step / T::kStages & 1) ^ 1);  // the first round finds it empty\n", ""),
    ("dual_moments.cu", "wgmma: wrong parity", "DualMoments", "(unsigned)(step / T::kStages & 1) ^ 1);", "(unsigned)(step / T::kStages & 1));"),
    ("dual_moments.cu", "wgmma transposing: samples in their own order", "DualMoments",
     "(e % 2 ? odd : even).v[e / 2] = rounded;", "(e < 4 ? even : odd).v[e % 4] = rounded;"),
    ("dual_moments.cu", "wgmma transposing: sums what was not rounded", "DualMoments",
     "        sum += rounded;", "        sum += *reinterpret_cast<const float*>(from + at);"),
    ("dual_moments.cu", "wgmma transposing: raw stage filled while it is read", "DualMoments",
     "    mbarrier_wait(&shared.raw_empty[r], (unsigned)(step / T::kRaw & 1) ^ 1);", "   "),
    ("dual_moments.cu", "wgmma transposing: raw stage read before it is full", "DualMoments",
     "    mbarrier_wait(&shared.raw_full[r], (unsigned)(step / T::kRaw & 1));\n", ""),
    ("dual_moments.cu", "wgmma transposing: written while the tensor cores read it", "DualMoments",
     "    mbarrier_wait(&shared.empty[s], (unsigned)(step / T::kStages & 1) ^ 1);\n    if (output", "    if (output"),
    ("dual_moments.cu", "wgmma transposing: stored as if to global memory", "DualMoments",
     "store_shared(shared.stage[s].s + swizzle_128((unsigned)(output * 128 + n * 4)), even);",
     "store(reinterpret_cast<float*>(shared.stage[s].s + swizzle_128((unsigned)(output * 128 + n * 4))), even);"),
    ("dual_moments.cu", "wgmma transposing: a lane speaks before its warp has written", "DualMoments",
     "    __syncwarp();\n    mbarrier_arrive_if", "    mbarrier_arrive_if"),
    ("dual_moments.cu", "wgmma: fewer bytes expected than come", "DualMoments",
     "sizeof(typename T::Stage));", "sizeof(typename T::Stage) - 4096);"),
    ("dual_moments.cu", "wgmma: no fence", "DualMoments", "    wgmma_fence();\n", ""),
    ("dual_moments.cu", "wgmma: no wait before the results are read", "DualMoments", "  wgmma_wait<0>();\n", ""),
    ("dual_moments.cu", "wgmma: results stored transposed", "DualMoments", "{d1[d], d1[d + 2]}, {d2[d], d2[d + 2]}", "{d1[d], d1[d + 1]}, {d2[d], d2[d + 1]}"),
    ("dual_moments.cu", "partial results: those behind the first loads left out", "DualMoments",
     "part < parts; part += kLoads * apart)", "part < min(parts, kLoads); part += kLoads * apart)"),
    ("dual_moments.cu", "partial results: no barrier", "DualMoments",
     "      shared.of[threadIdx.y][threadIdx.x] = sum;\n      __syncthreads();\n", "      shared.of[threadIdx.y][threadIdx.x] = sum;\n"),
    ("dual_moments.cu", "partial results: sums overwritten while they are read", "DualMoments",
     "      __syncthreads();  // the sums before were read\n", ""),
    ("dual_moments.cu", "partial results: those of M1 for both", "DualMoments", "blockIdx.y == 1 ? partial1 : partial2", "partial1"),
    ("dual_moments.cu", "partial results: not added to what was there", "DualMoments",
     "    Vector<V> total = load_run<V, WHOLE>(y + at, there);\n", "    Vector<V> total = {};\n"),
    ("reductions.cu", "column sums: no barrier", "SmallKernels", "  __syncthreads();\n  if (threadIdx.y == 0", "  if (threadIdx.y == 0"),
    ("reductions.cu", "column sums: parts overlap by a row", "SmallKernels",
     "(blockIdx.z + 1) * part);", "(blockIdx.z + 1) * part + 1);"),
    ("reductions.cu", "column sums: magnitudes, not squares", "SmallKernels", "return fmaf(x, x, sum);", "return sum + fabsf(x);"),
    ("elementwise.cuh", "values: those behind the last vector left out", "SmallKernels", "i < elements; i += stride) visit(i, x[i])", "i < vectors * V; i += stride) visit(i, x[i])"),
    ("elementwise.cuh", "values: the first of four vectors for all", "Select", "visit((i + n * stride) * V + v, loaded[n].v[v])", "visit((i + n * stride) * V + v, loaded[0].v[v])"),
    ("elementwise.cuh", "values: unaligned ones as vectors", "SmallKernels", "(uintptr_t)x % (V * sizeof(float)) == 0 ?", "true ?"),
    ("elementwise.cuh", "values: a vector's offset for its elements", "SmallKernels", "visit((i + n * stride) * V + v, loaded", "visit((i + n * stride) * V, loaded"),
    ("reductions.cu", "first that is not finite: infinities passed over", "SmallKernels", "if (!is_finite(value)) report_first", "if (value != value) report_first"),
    ("reductions.cu", "partials: old values read when overwriting", "SmallKernels",
     "beta == 0.f ? alpha * sum : fmaf(alpha, sum, beta * to)", "fmaf(alpha, sum, beta * to)"),
    ("reductions.cu", "partials: rows taken to lie together", "Product", "y[columns == stride ? at : at / columns * stride + at % columns]", "y[at]"),
    ("reductions.cu", "sum: no barrier", "SmallKernels", "  __syncthreads();\n  if (threadIdx.x < kLanes) {", "  if (threadIdx.x < kLanes) {"),
    ("elementwise.cuh", "vector tail dropped", "SmallKernels",
     "    if (V > 1 && first < elements - vectors * V) visit(vectors * V + first, Width<1>{});\n", ""),
    ("elementwise.cuh", "columns past the end are visited", "EliminationScores", "if (column >= columns) return;", "if (column > columns) return;"),
    ("elementwise.cuh", "32-bit offset of a row", "LargeOffsets", "row * columns + column);", "(int)((unsigned)row * columns + column));"),
    ("elimination_scores.cu", "fmaxf hides NaN", "EliminationScores", "(variance < 0.f ? 0.f : variance)", "fmaxf(0.f, variance)"),
    ("elimination_scores.cu", "no clamp", "EliminationScores", "(variance < 0.f ? 0.f : variance)", "variance"),
    ("elimination_scores.cu", "dead rows divided by zero", "EliminationScores", "total == 0.f ? 0.f : one.v[i] / total", "one.v[i] / total"),
    ("elimination_scores.cu", "outer product: what was there is not scaled", "EliminationScores", "fmaf(kept, sum.v[i], factor * x.v[i])", "fmaf(factor, x.v[i], sum.v[i])"),
    ("elimination_scores.cu", "cancelled: rows past the end", "EliminationScores", "      if (row >= outputs) continue;\n", ""),
    ("elimination_scores.cu", "cancelled: a row of threads left out", "EliminationScores", "for (int t = 1; t < 32; t++) most", "for (int t = 1; t < 31; t++) most"),
    ("elementwise.cuh", "first bad index stored, not lowered", "Select", "atomicMin(first, (unsigned long long)index);", "*first = (unsigned long long)index;"),
    ("select.cu", "histogram: not atomic in shared memory", "Select",
     "if ((k & mask) == prefix) atomicAdd(&bins.count[k >> digit.shift & ((1u << digit.bits) - 1)], 1u);", "if ((k & mask) == prefix) bins.count[k >> digit.shift & ((1u << digit.bits) - 1)]++;"),
    ("select.cu", "histogram: not atomic in global memory", "Select",
     "atomicAdd(&state->histogram[bin], (unsigned long long)bins.count[bin]);", "state->histogram[bin] += bins.count[bin];"),
    ("select.cu", "histogram: no barrier after clearing", "Select",
     "bins.count[bin] = 0;\n  __syncthreads();", "bins.count[bin] = 0;"),
    ("select.cu", "histogram: scores of other prefixes counted", "Select",
     "if ((k & mask) == prefix) atomicAdd(&bins", "atomicAdd(&bins"),
    ("select.cu", "digit: rank within it off by one", "Select", "remaining > before + low;", "remaining >= before + low;"),
    ("select.cu", "digit: histogram not cleared", "Select", "  state->histogram[bin] = state->histogram[bin + 1] = 0;\n", ""),
    ("select.cu", "negative scores ordered as positive", "Select", "bits & 0x80000000u ? ~bits : bits | 0x80000000u", "bits ^ 0x80000000u"),
    ("select.cu", "-0 not made 0", "Select", "kZeroWeight : s.v[i] + 0.f", "kZeroWeight : s.v[i]"),
    ("select.cu", "groups of four: ties by the last column", "Select", "s.v[other] == s.v[i] && other < i", "s.v[other] == s.v[i] && other > i"),
    ("select.cu", "groups of four: group of the row's start", "Select", "(int64_t)row * (columns / 4) + column / 4", "(int64_t)row * (columns / 4)"),
    ("select.cu", "narrow groups: ties by the last column", "Select", "theirs == score && other < position", "theirs == score && other > position"),
    ("select.cu", "wide groups: no barrier between passes", "Select",
     "        shared.equal = shared.count[bin];\n      }\n      __syncthreads();\n", "        shared.equal = shared.count[bin];\n      }\n"),
    ("select.cu", "wide groups: ties counted per chunk", "Select", "passed = shared.count[0];", "passed = 0;"),
    ("select.cu", "narrow groups: removed scores not copied", "Select",
     "if (position < here) marked[at] = rank < removed ? score : INFINITY;", "if (position < here && rank >= removed) marked[at] = INFINITY;"),
    ("select.cu", "wide groups: removed scores not copied", "Select", "key(score) <= threshold ? score : INFINITY;", "key(score) <= threshold ? 0.f : INFINITY;"),
    ("select.cu", "wide groups: all ties removed", "Select", "if (removed == 0 || ties == shared.equal)", "if (true)"),
    ("select.cu", "quota rounded half down", "Select", "(x - whole >= 0.5)", "(x - whole > 0.5)"),
    ("select.cu", "scan: no barrier", "Select", "if (lane == kLanes - 1) shared.warp[warp] = sum;\n  __syncthreads();", "if (lane == kLanes - 1) shared.warp[warp] = sum;"),
    ("apply.cu", "one tie too many", "Apply", "tie && mine < ties", "tie && mine <= ties"),
    ("apply.cu", "ties ranked without the lanes before", "Apply", "mine += __popc(votes & lanes_before);", "mine += 0;"),
    ("apply.cu", "ties not carried along the row", "Apply", "rank += __popc(votes);", ""),
    ("apply.cu", "scan of ties: no barrier before the next rows", "Apply",
     "    if (row < outputs) ties[row] = before + sum - own;\n    __syncthreads();\n", "    if (row < outputs) ties[row] = before + sum - own;\n"),
    ("apply.cu", "scan of ties: nothing carried", "Apply", "int64_t before = carried;", "int64_t before = 0;"),
    ("apply.cu", "removed counted without atomics", "Apply", "atomicAdd(&removed->count, (unsigned long long)count);", "removed->count += count;"),
    ("apply.cu", "removed counted on top of what was there", "Apply", "  if (threadIdx.x == 0) removed->count = 0;\n", ""),
    ("apply.cu", "scores of zero weights in the sum", "Apply", "score_sum += s.v[i] > 0.f ? s.v[i] : 0.f;", "score_sum += s.v[i];"),
    ("apply.cu", "weights at a 32-bit offset", "LargeOffsets", "const int64_t at = row * inputs + column;", "const int64_t at = (int)((unsigned)row * inputs + column);"),
    ("dense_forward.cu", "copies one row apart too few", "DenseForward",
     "(int64_t)c * samples * outputs + at;\n      auto g = load<T::V>(upstream", "(int64_t)c * (samples - 1) * outputs + at;\n      auto g = load<T::V>(upstream"),
    ("dense_forward.cu", "32-bit offset of a copy", "LargeOffsets",
     "int64_t there = (int64_t)c * samples * outputs + at;", "int64_t there = (int)((unsigned)c * samples * outputs + (unsigned)at);"),
    ("dense_forward.cu", "relu by fmaxf hides NaN", "DenseForward", "return z < 0.f ? 0.f : z;", "return fmaxf(0.f, z);"),
    ("dense_forward.cu", "activation alone: a null bias read", "DenseForward", "    if (bias)  ", "    if (true)  "),
    ("dense_forward.cu", "bias of the next column", "DenseForward", "load<V>(bias + column)", "load<V>(bias + column + (column + V < 7 ? V : 0))"),
    ("dense_forward.cu", "bias: sums not stored", "DenseForward", "  store(z + at, x);\n  return x;", "  return x;"),
    ("dense_forward.cu", "softmax without the maximum", "DenseForward", "top = rows.max(top);", "top = 0.f;"),
    ("dense_forward.cu", "softmax: sensitivity of rows in registers alone", "DenseForward", "(c == copies - 1 || !rows.is_held())", "c == copies - 1"),
    ("dense_forward.cu", "log softmax without the sum", "DenseForward", "shifted - log_total", "shifted"),
    ("dense_forward.cu", "log softmax: the tangent's sum in a gradient", "DenseForward", "form == LOG_SOFTMAX_TRANSPOSED ? 1.f : expf(value)", "expf(value)"),
    ("dense_forward.cu", "softmax: 32-bit offset of a copy", "LargeOffsets", "((int64_t)c * samples + rows.row) * outputs;", "(int)(((unsigned)c * samples + (unsigned)rows.row) * outputs);"),
    ("rows.cuh", "rows: columns past the end", "SmallKernels", "if (mine + n * kLanes * V < columns) visit", "if (mine < columns) visit"),
    ("rows.cuh", "rows: parts that follow not read", "SmallKernels", "if (!held.row || held.first == first) return;", "if (!held.row || held.first >= 0) return;"),
    ("rows.cuh", "rows: the part of the copy before", "DenseForward", "    row = another;\n    first = -1;\n", "    row = another;\n    if (first) first = -1;\n"),
    ("rows.cuh", "rows: sum without a barrier", "SmallKernels", "    __syncthreads();\n#pragma unroll\n    for (int k = 0; k < K; k++) {\n      value[k] = shared", "#pragma unroll\n    for (int k = 0; k < K; k++) {\n      value[k] = shared"),
    ("rows.cuh", "rows: sums that follow in the same place", "SmallKernels", "    turn ^= 1;\n", ""),
    ("rows.cuh", "rows: sum of one warp", "SmallKernels", "warp < warps; warp++) value[k] = of", "warp < 1; warp++) value[k] = of"),
    ("rows.cuh", "rows: a sum of all rows of a block", "SmallKernels", "before = (int)threadIdx.y * warps;", "before = 0;"),
    ("elementwise.cuh", "warp sum of half the lanes", "SmallKernels", "for (int bit = 16; bit; bit >>= 1) value += __shfl_xor_sync(kAllLanes, value, bit);", "for (int bit = 8; bit; bit >>= 1) value += __shfl_xor_sync(kAllLanes, value, bit);"),
    ("elementwise.cuh", "shuffle in a branch of some lanes", "SmallKernels",
     "for (int bit = 16; bit; bit >>= 1) value += __shfl_xor_sync(kAllLanes, value, bit);", "for (int bit = 16; bit; bit >>= 1)\n    if (threadIdx.x % 32 < 2 * (unsigned)bit) value += __shfl_xor_sync(kAllLanes, value, bit);"),
    ("random.cu", "words of 32 bits", "SmallKernels", "((uint64_t)outputs + 63) / 64", "((uint64_t)outputs + 31) / 32"),
    ("random.cu", "origin: seed and first sample change places", "SmallKernels", "*origin = {seed, first_sample}", "*origin = {first_sample, seed}"),
    ("random.cu", "signs: of the first batch", "SmallKernels", "(origin->first_sample + at.sample) * words", "at.sample * words"),
    ("random.cu", "Fisher vectors: the root of p left out", "SmallKernels", "scale * sqrtf(p[k])", "scale"),
    ("random.cu", "signs: one bit for all of a vector", "SmallKernels", "word >> ((k + v) % 64) & 1", "word >> (k % 64) & 1"),
    ("random.cu", "drawn class: one too far", "SmallKernels", "!(sum > drawn); sum += p[k]) k++;", "!(sum >= drawn + p[k]); sum += p[k]) k++;"),
    ("solving.cu", "carry: the term's part forgotten", "SmallKernels", "(a - (s - rounded)) + (b - rounded)", "(a - (s - rounded))"),
    ("solving.cu", "removed weights grow back", "SmallKernels", "if (to.v[i] != 0.f) to.v[i] = sum", "to.v[i] = sum"),
    ("solving.cu", "weights vanish", "SmallKernels", "sum == 0.f ? copysignf(kLeast, to.v[i]) : sum", "sum"),
    ("solving.cu", "residual of removed weights", "SmallKernels", "if (w.at[n].v[v] == 0.f) to = 0.f;", ""),
    ("solving.cu", "product: factor forgotten", "SmallKernels", "fmaf(alpha * a.v[i], b.v[i], to.v[i])", "fmaf(a.v[i], b.v[i], to.v[i])"),
    ("solving.cu", "quotient of removed weights", "SmallKernels", "w.v[i] == 0.f ? 0.f : r.v[i] / fmaf", "r.v[i] / fmaf"),
    ("solving.cu", "dot: a warp left out", "SmallKernels", "for (int warp = 1; warp < 8; warp++) sum += shared.of[warp];", "for (int warp = 1; warp < 7; warp++) sum += shared.of[warp];"),
    ("solving.cu", "step: damping left out", "SmallKernels", "curvature = fmaf(along, fmaf(damping, along, q.at[n].v[v]), curvature);", "curvature = fmaf(along, q.at[n].v[v], curvature);"),
    ("solving.cu", "step: removed weights solved for", "SmallKernels", "          if (w.at[n].v[v] == 0.f) continue;\n", ""),
    ("updates.cu", "zeros do not stay", "SmallKernels", "if (!keep_zeros || p.v[i] != 0.f) ", ""),
    ("updates.cu", "columns: added though copied", "SmallKernels", "if (ADD) {", "{"),
    ("updates.cu", "columns: rows taken to lie together", "SmallKernels", "(int64_t)row * from_stride", "(int64_t)row * columns"),
    ("updates.cu", "columns: 32-bit offset of a row", "LargeOffsets", "(int64_t)row * to_stride", "(int)((unsigned)row * (unsigned)to_stride)"),
    ("updates.cu", "transpose: rows taken to lie together", "SmallKernels", "from[(int64_t)row * stride + column0", "from[(int64_t)row * columns + column0"),
    ("updates.cu", "transpose: rows behind the last written", "SmallKernels", "if (column < columns && row0 + lane < rows)", "if (row0 + lane < rows)"),
    ("updates.cu", "transpose: tile read before it is there", "SmallKernels",
     "shared.x[threadIdx.y + 8 * r][lane] = x[r];\n  __syncthreads();", "shared.x[threadIdx.y + 8 * r][lane] = x[r];"),
    ("updates.cu", "gather: from the first number on", "SmallKernels", "numbers[first + row]", "numbers[row]"),
    ("updates.cu", "gather: number behind the last", "SmallKernels", "numbers[first + row]", "numbers[first + row + 1]"),
    ("updates.cu", "gather: rows not looked up", "SmallKernels", "(int64_t)numbers[first + row] * columns", "(int64_t)(first + row) * columns"),
    ("updates.cu", "gather: row stride of another width", "SmallKernels", "(int64_t)numbers[first + row] * columns", "(int64_t)numbers[first + row] * (columns + 1)"),
    ("updates.cu", "gather: 32-bit offset of a row", "LargeOffsets", "(int64_t)numbers[first + row] * columns", "(int)((unsigned)numbers[first + row] * (unsigned)columns)"),
    ("updates.cu", "gather: columns not looked up", "SmallKernels", "there[numbers[column + i]]", "there[column + i]"),
    ("updates.cu", "gather: one column for all of a thread", "SmallKernels", "there[numbers[column + i]]", "there[numbers[column]]"),
    ("updates.cu", "gather: rows taken to be as wide as the result", "SmallKernels", "(int64_t)row * from_columns", "(int64_t)row * columns"),
    ("updates.cu", "gather: 32-bit offset of a row of columns", "LargeOffsets", "(int64_t)row * from_columns", "(int)((unsigned)row * (unsigned)from_columns)"),
    ("updates.cu", "multiply: rows of the next copy", "SmallKernels", "(row % factor_rows)", "row"),
    ("normalization.cu", "mean subtracted though not centred", "SmallKernels", "  if (centred) {", "  {"),
    ("normalization.cu", "Jacobian without the normalised row", "SmallKernels", "- mean - y.at[n].v[v] * along)", "- mean)"),
    ("normalization.cu", "Jacobian of the first copy alone", "SmallKernels", "((int64_t)c * samples + rows.row) * width", "rows.row * width"),
    ("losses.cu", "targets' mass taken as 1", "SmallKernels", "scale = sums[1] / sums[0]", "scale = 1.f / sums[0]"),
    ("losses.cu", "loss without the logarithm's weight", "SmallKernels", "fmaf(sums[1], logf(sums[0]), -sums[2])", "logf(sums[0]) - sums[2]"),
]

SANITIZERS = {
    "address": ("libasan.so", {"ASAN_OPTIONS": "handle_segv=0:allow_user_segv_handler=1:detect_leaks=0"}),
    "thread": ("libtsan.so", {"TSAN_OPTIONS": "handle_segv=0:allow_user_segv_handler=1:halt_on_error=1:suppressions="
                              + str(MODULE / "src/test/cuda/thread-sanitizer.supp")}),
}


def class_path():
    file = MODULE / "target/mutants.classpath"
    if not file.exists():
        subprocess.run(["mvn", "-q", "-B", "-pl", "kernels", "-am", "test-compile", "dependency:build-classpath",
                        "-Dmdep.outputFile=target/mutants.classpath"], cwd=MODULE.parent, check=True)
    return f"{MODULE}/target/classes:{MODULE}/target/test-classes:{file.read_text()}"


def java():
    """As the launcher finds it."""
    found = subprocess.run(["sh", "-euc", ". cli/src/main/sh/jdk.sh; find_jdk"], cwd=MODULE.parent, text=True,
                           stdout=subprocess.PIPE, env=dict(os.environ, program="mutants.py"))
    return f"{found.stdout.strip()}/bin/java" if found.returncode == 0 else sys.exit(2)


def broken(message):
    print(f"mutants.py: {message}", file=sys.stderr)
    sys.exit(2)


JAVA = java()


def run(variant, mutant, test, brief, build):
    """None if the tests pass, else what they said."""
    output = WORK / f"emulator-{variant}"
    shutil.rmtree(output, ignore_errors=True)
    shutil.copytree(MODULE / f"target/emulator-{variant}", output, symlinks=True)  # what has not changed is not built
    (output / "libkernels.so").unlink()
    if build:
        made = subprocess.run(["bash", MODULE / "src/test/cuda/build.sh", output, variant, mutant], capture_output=True,
                              text=True, env=dict(os.environ, CXXFLAGS="-w -Wno-error"))
        if made.returncode:
            broken(f"does not compile:\n{made.stderr}")
    env = dict(os.environ)
    if variant in SANITIZERS:
        library, options = SANITIZERS[variant]
        env.update(options, LD_PRELOAD=str(output / library))
    command = [JAVA, "--enable-native-access=ALL-UNNAMED", f"-XX:ErrorFile={WORK}/crash.log", f"-Despalier.kernels.emulator={output}/libkernels.so",
               f"-Despalier.kernels.ptx={MODULE}/target/ptx", f"-Despalier.kernels.brief={str(brief).lower()}",
               "-classpath", class_path(), "org.junit.platform.console.ConsoleLauncher", "execute", "--fail-fast",
               f"--select-class=dev.espalier.kernels.{test}{'Test' if test in ('SmallKernels', 'LargeOffsets', 'MomentsByProducts') else 'KernelTest'}",
               "--details=summary", "--disable-banner"]
    try:
        done = subprocess.run(command, cwd=MODULE, env=env, capture_output=True, text=True, errors="replace", timeout=180)
    except subprocess.TimeoutExpired:
        return "does not end"
    text = done.stdout + done.stderr
    if done.returncode == 0 and "tests found" in text:
        return None
    if "tests found" not in text and "SUMMARY: " not in text and done.returncode > 0:
        broken(f"the tests do not run:\n{text}")
    return diagnosis(text)


def diagnosis(text):
    for pattern, name in ((r"SUMMARY: ThreadSanitizer: (\S+ \S+)", "ThreadSanitizer: "), (r"SUMMARY: AddressSanitizer: (\S+)", "AddressSanitizer: "),
                          (r"runtime error: ([^\n]{1,60})", "UndefinedBehaviorSanitizer: "), (r"(deadlock)", ""),
                          (r"(divergent barrier)", ""), (r"(meets another one of its warp)", ""), (r"(without wgmma.fence)", ""),
                          (r"(never waited for)", ""), (r"(mbarrier: more arrivals)", ""), (r"(takes no part)", ""),
                          (r"(with only lanes)", ""), (r"(places do not ascend)", ""), (r"(shared address \S+ .{0,20}outside)", ""), (r"(in shared memory, not in global)", ""),
                          (r"byte -?\d+ (before|behind) buffer", "guard zone "), (r"(SIGSEGV)", ""),
                          (r"is (NaN), not", "wrong result: "), (r"(element \d+ of \d+ is \S+, not)", "wrong result")):
        found = re.search(pattern, text)
        if found:
            return name if name == "wrong result" else name + found.group(1)
    return "wrong result" if "AssertionFailed" in text or "AssertionError" in text else "crash"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table")
    parser.add_argument("pattern", nargs="?", default="")
    options = parser.parse_args()
    missing = [v for v in ("plain", *SANITIZERS) if not (MODULE / f"target/emulator-{v}/libkernels.so").exists()]
    if missing:
        broken(f"there are no kernels for the CPU ({', '.join(missing)}): run mvn verify -Psanitize -pl kernels/sanitizers -am, with g++")
    WORK.mkdir(parents=True, exist_ok=True)
    if run("plain", CUDA, "EliminationScores", True, build=True):
        broken("the tests fail without any planted bug: run mvn verify -pl kernels -am")
    rows, survivors = [], 0
    for file, name, test, right, wrong in MUTANTS:
        if not re.search(options.pattern, name):
            continue
        source = (CUDA / file).read_text()
        if source.count(right) < 1:
            broken(f"{file}: nothing to mutate for «{name}»")
        mutant = WORK / "cuda"
        shutil.copytree(CUDA, mutant, dirs_exist_ok=True)
        (mutant / file).write_text(source.replace(right, wrong))
        found = None
        for variant, brief in (("plain", True), ("plain", False), ("thread", True), ("address", True)):
            said = run(variant, mutant, test, brief, build=True)
            if said:
                found = (("tests" if variant == "plain" else variant + " sanitizer"), said)
                break
        shutil.copy2(CUDA / file, mutant / file)
        survivors += found is None
        rows.append(f"| `{file}` | {name} | {found[0] if found else '**survives**'} | {found[1] if found else ''} |")
        print(rows[-1], flush=True)
    table = ["| file | planted bug | noticed by | as |", "|---|---|---|---|", *rows]
    if options.table:
        pathlib.Path(options.table).write_text(
            f"# Planted bugs\n\nBy `mutants.py`: {len(rows)} bugs, {survivors} not noticed.\n\n" + "\n".join(table) + "\n")
    sys.exit(survivors > 0)


main()
