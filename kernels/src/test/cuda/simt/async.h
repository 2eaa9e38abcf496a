// The asynchronous hardware and the tensor cores, as device.cuh calls them on the CPU.
#pragma once
#include "simt.h"

namespace simt {

/// One 64-bit word, as on the GPU; the layout is this library's own.
struct Mbarrier {
  uint16_t count;
  int16_t pending;
  int32_t bytes : 31;
  uint32_t phase : 1;
};
static_assert(sizeof(Mbarrier) == 8, "an mbarrier is one 64-bit word");

/// A row-major float matrix and the box that one copy moves, 128-byte swizzled. As big as a CUtensorMap.
struct alignas(64) TensorMap {
  const void* base;
  uint64_t columns, rows, row_bytes;
  uint32_t box_columns, box_rows;
  uint64_t unused[11];
};
static_assert(sizeof(TensorMap) == 128, "a CUtensorMap has 128 bytes");

unsigned shared_address(const void* p);
/// For what instructions take for an address of global memory.
void check_global(const void* p);

void copy_async(void* to, const void* from, int bytes, int valid);
void copy_async_commit();
void copy_async_wait(int keep);

void mma_tf32(float* d, const unsigned* a, const unsigned* b, const char* file, int line);
void mma_sparse_bf16(float* d, const unsigned* a, const unsigned* b, unsigned metadata, int selector, const char* file,
                     int line);

void mbarrier_init(Mbarrier* barrier, unsigned count);
void mbarrier_arrive(Mbarrier* barrier, unsigned expect_bytes);
void mbarrier_wait(Mbarrier* barrier, unsigned parity, const char* file, int line);
void tensor_copy(void* to, const TensorMap* map, Mbarrier* barrier, int column, int row);

void wgmma_tf32(int columns, float* d, const unsigned* a, uint64_t b, const char* file, int line);
void wgmma_fence(const char* file, int line);
void wgmma_commit(const char* file, int line);
void wgmma_wait(int keep, const char* file, int line);

/// cvt.rna.tf32.f32: to nearest, ties away from zero.
static inline unsigned round_tf32(float value) {
  unsigned bits = __float_as_uint(value);
  if ((bits & 0x7f800000u) != 0x7f800000u) bits += 0x1000u;
  return bits & 0xffffe000u;
}
/// cvt.rn.bf16.f32: to nearest, ties to even.
static inline unsigned round_bf16(float value) {
  unsigned bits = __float_as_uint(value);
  if (value != value) return 0x7fffu;
  return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}
/// What a tensor core reads of a 32-bit operand.
static inline float truncate_tf32(unsigned bits) { return __uint_as_float(bits & 0xffffe000u); }

// cp.async runs in the kernel's own translation unit, so that the sanitizers see its accesses.
static inline void land(const AsyncCopy& copy) {
  unsigned char bytes[16] = {};
  if (copy.valid) memcpy(bytes, copy.from, (size_t)copy.valid);
  memcpy(copy.to, bytes, (size_t)copy.bytes);
}

inline void copy_async(void* to, const void* from, int bytes, int valid) {
  if ((((uintptr_t)to | (valid ? (uintptr_t)from : 0)) & (uintptr_t)(bytes - 1)) || valid < 0 || valid > bytes)
    fail("cp.async of %d bytes (%d valid): misaligned address or bad length", bytes, valid);
  AsyncCopy copy{to, from, bytes, valid};
  if (!late(kLateCopies))
    land(copy);
  else if (self->copy_count == Thread::kMaxCopies)
    fail("more than %d cp.async in flight", Thread::kMaxCopies);
  else
    self->copies[self->copy_count++] = copy;
}

inline void copy_async_commit() {
  if (!late(kLateCopies)) return;
  if (self->group_count == Thread::kMaxGroups)
    fail("more than %d cp.async groups in flight", Thread::kMaxGroups);
  else
    self->group_end[self->group_count++] = self->copy_count;
}

inline void copy_async_wait(int keep) {
  Thread* t = self;
  if (t->group_count <= keep) return;
  int groups = t->group_count - keep, done = t->group_end[groups - 1];
  for (int i = 0; i < done; i++) land(t->copies[i]);
  std::copy(t->copies + done, t->copies + t->copy_count, t->copies);
  t->copy_count -= done;
  for (int i = 0; i < keep; i++) t->group_end[i] = t->group_end[groups + i] - done;
  t->group_count = keep;
}

}  // namespace simt
