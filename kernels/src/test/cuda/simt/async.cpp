// mma.sync, mbarrier, TMA and wgmma, after the PTX manual. Asynchronous work lands at once or as late as the
// rules allow, per mechanism. Not modelled: bank conflicts, coalescing, fence.proxy.async, the hardware's own
// rounding inside a matrix product (sums run in double here).
#include "engine.h"

namespace simt {
namespace {

void check_readable(const void* p, size_t bytes, const char* what) {
  if (__asan_region_is_poisoned && __asan_region_is_poisoned(const_cast<void*>(p), bytes))
    fail("%s touches memory that is not the kernel's", what);
}

unsigned char* shared_pointer(unsigned address, size_t bytes, const char* what) {
  Block& b = machine->block;
  if (address < kSharedBase || address + bytes > kSharedBase + b.dynamic_bytes) {
    fail("%s: shared address %#x + %zu outside the block's %zu bytes", what, address - kSharedBase, bytes,
         b.dynamic_bytes);
    return b.shared;
  }
  return b.shared + (address - kSharedBase);
}

unsigned swizzle_128(unsigned address) { return address ^ ((address >> 7 & 7) << 4); }

// ---- mma.sync.m16n8k8: lane = 4 g + t holds A (g, t), (g+8, t), (g, t+4), (g+8, t+4), B (t, g), (t+4, g) and
// D (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1).
struct MmaOperands {
  float* d;
  const unsigned *a, *b;
};

void mma(const WarpOp& op) {
  float a[16][8], b[8][8];
  double d[16][8];
  for (int l = 0; l < 32; l++) {
    auto* x = static_cast<const MmaOperands*>(op.payload[l]);
    int g = l >> 2, t = l & 3;
    for (int e = 0; e < 4; e++) a[g + (e & 1) * 8][t + (e >> 1) * 4] = truncate_tf32(x->a[e]);
    for (int e = 0; e < 2; e++) b[t + e * 4][g] = truncate_tf32(x->b[e]);
    for (int e = 0; e < 4; e++) d[g + (e >> 1) * 8][2 * t + (e & 1)] = x->d[e];
  }
  for (int i = 0; i < 16; i++)
    for (int k = 0; k < 8; k++)
      for (int j = 0; j < 8; j++) d[i][j] += (double)a[i][k] * b[k][j];
  for (int l = 0; l < 32; l++) {
    auto* x = static_cast<const MmaOperands*>(op.payload[l]);
    int g = l >> 2, t = l & 3;
    for (int e = 0; e < 4; e++) x->d[e] = (float)d[g + (e >> 1) * 8][2 * t + (e & 1)];
  }
}

// ---- mma.sp.m16n8k32 of bfloat16: lane = 4 g + t holds of A two values of columns 4 t to 4 t + 3 of rows g and g + 8, then
// of columns 16 further, and of B rows 8 r + 2 t and the next of column g, for r = 0 to 3; D as above. The lanes of one of
// two pairs in a quad, which the selector names, hold A's metadata: columns 0 to 15, and 16 to 31, of row g in the lower half
// and of row g + 8 in the upper one, four bits for each four columns.
struct MmaSparseOperands {
  float* d;
  const unsigned *a, *b;
  unsigned metadata;
  int selector;
};

float bf16(unsigned pair, int upper) { return __uint_as_float(upper ? pair & 0xffff0000u : pair << 16); }

void mma_sparse(const WarpOp& op) {
  float a[16][32] = {}, b[32][8];
  double d[16][8];
  const int selector = static_cast<const MmaSparseOperands*>(op.payload[0])->selector;
  for (int l = 0; l < 32; l++) {
    auto* x = static_cast<const MmaSparseOperands*>(op.payload[l]);
    int g = l >> 2, t = l & 3;
    if (x->selector != selector || selector < 0 || selector > 1)
      fail("%s:%d: mma.sp with the selectors %d and %d", op.file, op.line & 0xfffff, selector, x->selector);
    for (int e = 0; e < 4; e++) {
      int row = g + (e & 1) * 8, four = t + (e >> 1) * 4;
      auto* holder = static_cast<const MmaSparseOperands*>(op.payload[4 * g + 2 * selector + four / 4]);
      unsigned places = holder->metadata >> ((e & 1) * 16 + four % 4 * 4) & 15, first = places & 3, second = places >> 2;
      if (first >= second)
        fail("%s:%d: mma.sp: metadata %#x of row %d, columns from %d: the places do not ascend", op.file,
             op.line & 0xfffff, places, row, four * 4);
      a[row][four * 4 + (int)first] = bf16(x->a[e], 0);
      a[row][four * 4 + (int)second] = bf16(x->a[e], 1);
    }
    for (int e = 0; e < 8; e++) b[e / 2 * 8 + 2 * t + (e & 1)][g] = bf16(x->b[e / 2], e & 1);
    for (int e = 0; e < 4; e++) d[g + (e >> 1) * 8][2 * t + (e & 1)] = x->d[e];
  }
  for (int i = 0; i < 16; i++)
    for (int k = 0; k < 32; k++)
      if (a[i][k] != 0)
        for (int j = 0; j < 8; j++) d[i][j] += (double)a[i][k] * b[k][j];
  for (int l = 0; l < 32; l++) {
    auto* x = static_cast<const MmaSparseOperands*>(op.payload[l]);
    int g = l >> 2, t = l & 3;
    for (int e = 0; e < 4; e++) x->d[e] = (float)d[g + (e >> 1) * 8][2 * t + (e & 1)];
  }
}

// ---- wgmma.m64nNk8 with A in registers: warp w of the warpgroup owns rows 16 w to 16 w + 15, laid out as for
// mma.sync, and reads all of B. So each warp carries out its own quarter, and waits for its own only: what one
// warp has waited for says nothing about the other three.
struct WgmmaOperands {
  float* d;
  const unsigned* a;
  uint64_t b;
  int columns;
};

// Address of element (k, column) of a K-major 32-bit operand in a descriptor's layout.
unsigned operand_address(uint64_t descriptor, int column, int k) {
  unsigned start = (unsigned)(descriptor & 0x3fff) << 4, stride = (unsigned)(descriptor >> 32 & 0x3fff) << 4;
  unsigned address = start + (unsigned)(column & 7) * 128 + (unsigned)(column >> 3) * stride + (unsigned)k * 4;
  return swizzle_128(address);
}

void carry_out(const Wgmma& w) {
  float a[16][8], b[8][256];
  double d[16][256];
  if (w.b >> 62 != 1) fail("wgmma: this engine knows the 128-byte swizzle only");
  for (int k = 0; k < 8; k++)
    for (int j = 0; j < w.columns; j++) {
      unsigned bits;
      memcpy(&bits, shared_pointer(operand_address(w.b, j, k), 4, "wgmma operand"), 4);
      b[k][j] = truncate_tf32(bits);
    }
  for (int l = 0; l < 32; l++) {
    int g = l >> 2, t = l & 3;
    for (int e = 0; e < 4; e++) a[g + (e & 1) * 8][t + (e >> 1) * 4] = truncate_tf32(w.a[l][e]);
    for (int j = 0; j < w.columns / 8; j++)
      for (int e = 0; e < 4; e++) d[g + (e >> 1) * 8][j * 8 + 2 * t + (e & 1)] = w.d[l][j * 4 + e];
  }
  for (int i = 0; i < 16; i++)
    for (int k = 0; k < 8; k++) {
      double x = a[i][k];
      for (int j = 0; j < w.columns; j++) d[i][j] += x * b[k][j];
    }
  for (int l = 0; l < 32; l++) {
    int g = l >> 2, t = l & 3;
    for (int j = 0; j < w.columns / 8; j++)
      for (int e = 0; e < 4; e++) w.d[l][j * 4 + e] = (float)d[g + (e >> 1) * 8][j * 8 + 2 * t + (e & 1)];
  }
}

void issue(Warp& warp, const WarpOp& op) {
  if (!warp.fenced) fail("wgmma at %s:%d without wgmma.fence since the last wait", op.file, op.line & 0xfffff);
  Wgmma w;
  for (int l = 0; l < 32; l++) {
    auto* x = static_cast<const WgmmaOperands*>(op.payload[l]);
    if (l == 0) {
      w.b = x->b;
      w.columns = x->columns;
    } else if (x->b != w.b) {
      fail("wgmma at %s:%d: the lanes disagree on the descriptor", op.file, op.line & 0xfffff);
    }
    w.d[l] = x->d;
    w.a[l] = x->a;
  }
  warp.issue_hash = (warp.issue_hash ^ w.b ^ (uint64_t)op.line << 40) * 0x9E3779B97F4A7C15ull;
  if (!late(kLateWgmma)) carry_out(w);
  warp.issued.push_back(w);
}

void wait_for_groups(Warp& warp, size_t keep) {
  size_t groups = warp.groups.size() > keep ? warp.groups.size() - keep : 0;
  if (groups) {
    size_t done = warp.groups[groups - 1];
    if (late(kLateWgmma))
      for (size_t i = 0; i < done; i++) carry_out(warp.issued[i]);
    warp.issued.erase(warp.issued.begin(), warp.issued.begin() + (ptrdiff_t)done);
    warp.groups.erase(warp.groups.begin(), warp.groups.begin() + (ptrdiff_t)groups);
    for (size_t& end : warp.groups) end -= done;
  }
  warp.fenced = false;
}

// ---- mbarrier and TMA

void step(Mbarrier* b) {
  if (b->pending < 0) fail("mbarrier: more arrivals than its count");
  if (b->pending != 0 || b->bytes != 0) return;
  b->phase ^= 1;
  b->pending = (int16_t)b->count;
  auto& waits = machine->barrier_waits;
  for (size_t i = 0; i < waits.size();) {
    if (waits[i].barrier == b && b->phase != waits[i].parity) {
      make_runnable(waits[i].fiber->linear);
      waits.erase(waits.begin() + (ptrdiff_t)i);
    } else {
      i++;
    }
  }
}

void land(const TensorCopy& c) {
  const TensorMap& m = c.map;
  unsigned bytes = m.box_columns * m.box_rows * 4;
  shared_pointer(c.to, bytes, "TMA load");
  if (c.to & 1023) fail("TMA load: destination %#x is not 1024-byte aligned", c.to);
  if (m.box_columns * 4 != 128) fail("TMA load: a swizzled box is 128 bytes wide, not %u", m.box_columns * 4);
  for (unsigned r = 0; r < m.box_rows; r++)
    for (unsigned i = 0; i < m.box_columns; i++) {
      unsigned char* to = machine->block.shared + (swizzle_128(c.to + r * 128 + i * 4) - kSharedBase);
      int64_t column = (int64_t)c.column + i, row = (int64_t)c.row + r;
      if (column < 0 || row < 0 || column >= (int64_t)m.columns || row >= (int64_t)m.rows) {
        memset(to, 0, 4);
      } else {
        const char* from = static_cast<const char*>(m.base) + row * (int64_t)m.row_bytes + column * 4;
        check_readable(from, 4, "TMA load");
        memcpy(to, from, 4);
      }
    }
  c.barrier->bytes -= (int32_t)bytes;
  step(c.barrier);
}

}  // namespace

void complete_tensor_op(Warp& warp, WarpOp& op) {
  if (op.arrived != ~0u) {
    fail("%s:%d: a tensor-core operation with only lanes %08x of the warp", op.file, op.line & 0xfffff, op.arrived);
    return;
  }
  switch (op.kind) {
    case WarpKind::kMma: mma(op); break;
    case WarpKind::kMmaSparse: mma_sparse(op); break;
    case WarpKind::kWgmma: issue(warp, op); break;
    case WarpKind::kWgmmaFence: warp.fenced = true; break;
    case WarpKind::kWgmmaCommit: warp.groups.push_back(warp.issued.size()); break;
    case WarpKind::kWgmmaWait: wait_for_groups(warp, op.value[0]); break;
    default: break;
  }
}

bool land_tensor_copy() {
  Quiet quiet;
  if (machine->tensor_copies.empty()) return false;
  TensorCopy copy = machine->tensor_copies.front();
  machine->tensor_copies.erase(machine->tensor_copies.begin());
  land(copy);
  return true;
}

void check_async_at_end() {
  Machine& m = *machine;
  if (!m.tensor_copies.empty()) fail("the block ends with %zu TMA loads in flight", m.tensor_copies.size());
  for (unsigned w = 0; w < (m.threads + 31) / 32; w++) {
    if (!m.warps[w].issued.empty()) fail("warp %u ends with wgmma never waited for", w);
    if (m.warps[w].issue_hash != m.warps[w & ~3u].issue_hash)
      fail("warps %u and %u of one warpgroup issued different wgmma", w & ~3u, w);
  }
}

unsigned shared_address(const void* p) {
  Block& b = machine->block;
  auto* q = static_cast<const unsigned char*>(p);
  if (q < b.shared || q > b.shared + b.dynamic_bytes) {
    fail("an address outside the dynamic shared memory of the launch");
    return kSharedBase;
  }
  return (unsigned)(q - b.shared) + kSharedBase;
}

void check_global(const void* p) {
  Block& b = machine->block;
  auto* q = static_cast<const unsigned char*>(p);
  if (q >= b.shared && q < b.static_shared + b.static_bytes) fail("an address in shared memory, not in global");
}

void mma_tf32(float* d, const unsigned* a, const unsigned* b, const char* file, int line) {
  MmaOperands operands{d, a, b};
  join_warp_op(~0u, WarpKind::kMma, &operands, 0, 0, file, line);
}

void mma_sparse_bf16(float* d, const unsigned* a, const unsigned* b, unsigned metadata, int selector, const char* file,
                     int line) {
  MmaSparseOperands operands{d, a, b, metadata, selector};
  join_warp_op(~0u, WarpKind::kMmaSparse, &operands, 0, 0, file, line);
}

void wgmma_tf32(int columns, float* d, const unsigned* a, uint64_t b, const char* file, int line) {
  WgmmaOperands operands{d, a, b, columns};
  join_warp_op(~0u, WarpKind::kWgmma, &operands, 0, 0, file, line);
}
void wgmma_fence(const char* file, int line) {
  join_warp_op(~0u, WarpKind::kWgmmaFence, nullptr, 0, 0, file, line);
}
void wgmma_commit(const char* file, int line) {
  join_warp_op(~0u, WarpKind::kWgmmaCommit, nullptr, 0, 0, file, line);
}
void wgmma_wait(int keep, const char* file, int line) {
  join_warp_op(~0u, WarpKind::kWgmmaWait, nullptr, (uint64_t)keep, 0, file, line);
}

void mbarrier_init(Mbarrier* b, unsigned count) {
  if ((uintptr_t)b & 7) fail("mbarrier: not 8-byte aligned");
  shared_address(b);
  *b = Mbarrier{(uint16_t)count, (int16_t)count, 0, 0};
}

void mbarrier_arrive(Mbarrier* b, unsigned expect_bytes) {
  publish(b);
  Quiet quiet;
  b->bytes += (int32_t)expect_bytes;
  b->pending--;
  step(b);
}

void mbarrier_wait(Mbarrier* b, unsigned parity, const char* file, int line) {
  if (b->phase == (parity & 1)) {
    {
      Quiet quiet;
      machine->barrier_waits.push_back({current(), b, parity & 1});
    }
    wait_here("an mbarrier", file, line);
  }
  observe(b);
}

void tensor_copy(void* to, const TensorMap* map, Mbarrier* barrier, int column, int row) {
  Quiet quiet;
  if (((uintptr_t)map->base & 15) || (map->row_bytes & 15))
    fail("TMA load: base and row stride must be multiples of 16 bytes");
  TensorCopy copy{*map, shared_address(to), barrier, column, row};
  if (late(kLateTensorCopies))
    machine->tensor_copies.push_back(copy);
  else
    land(copy);
}

}  // namespace simt

/// Fills 128 bytes as cuTensorMapEncodeTiled would, for a row-major float matrix and the 128-byte swizzle.
extern "C" int simt_tensor_map(void* map, const void* base, uint64_t columns, uint64_t rows, uint64_t row_bytes,
                               uint32_t box_columns, uint32_t box_rows) {
  *static_cast<simt::TensorMap*>(map) = simt::TensorMap{base, columns, rows, row_bytes, box_columns, box_rows, {}};
  return 0;
}
