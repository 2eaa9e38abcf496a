// The CUDA language as kernels here use it, for a C++ compiler: a .cu file that nvcc compiles for a GPU is
// compiled by g++ with this header and runs on the CPU under the execution model of engine.cpp.
//
// Every CUDA thread is a fiber; a launch runs its blocks one after another on the calling OS thread. So a
// global is per-launch state, and shared memory is one arena that every block gets filled with NaN.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

namespace simt {

/// What the threads of the running block share.
struct Block {
  uint3 index;
  dim3 size, grid;
  unsigned char* shared;       // start of the dynamic shared memory of the launch
  size_t dynamic_bytes;
  unsigned char* static_shared;
  size_t static_bytes;         // 0 until the kernel's first use
};

/// One cp.async on its way: `valid` bytes are copied, the rest of `bytes` is zero.
struct AsyncCopy {
  void* to;
  const void* from;
  int bytes, valid;
};

/// What kernel code needs of the CUDA thread that runs it.
struct Thread {
  static constexpr int kMaxCopies = 256, kMaxGroups = 64;
  uint3 index;
  Block* block;
  unsigned linear, lane, warp;
  AsyncCopy copies[kMaxCopies];    // cp.async not yet landed, oldest first
  int copy_count = 0;
  int group_end[kMaxGroups];       // copies below this index belong to the group or to an older one
  int group_count = 0;
};

/// The CUDA thread that runs on this thread of the process. `__thread`, because a thread_local of another file is read
/// through a function.
extern __thread Thread* self __attribute__((tls_model("initial-exec")));

enum : long { kLateCopies = 1, kLateTensorCopies = 2, kLateWgmma = 4 };
bool late(long mechanism);

void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
void block_barrier(const char* file, int line);
void warp_barrier(unsigned mask, const char* file, int line);
uint64_t warp_exchange(unsigned mask, uint64_t value, int source, const char* file, int line);
unsigned warp_ballot(unsigned mask, bool predicate, const char* file, int line);
void* static_shared(size_t bytes);

template <class T>
T shuffle(unsigned mask, T value, int source, const char* file, int line) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  bits = warp_exchange(mask, bits, source, file, line);
  memcpy(&value, &bits, sizeof value);
  return value;
}
// A lane outside the warp keeps its own value.
static inline int lane_xor(int mask) { return (int)self->lane ^ mask; }
static inline int lane_down(int delta) {
  int lane = (int)self->lane + delta;
  return lane < 32 ? lane : (int)self->lane;
}
static inline int lane_up(int delta) {
  int lane = (int)self->lane - delta;
  return lane >= 0 ? lane : (int)self->lane;
}

/// Calls a kernel with the arguments that `cuLaunchKernel` would read: an array of pointers to them.
template <auto kernel>
struct Entry;
template <class... A, void (*kernel)(A...)>
struct Entry<kernel> {
  static constexpr size_t kParameterBytes[] = {sizeof(A)..., 0};
  static void call(void** arguments) { call(arguments, std::index_sequence_for<A...>{}); }

 private:
  template <size_t... I>
  static void call(void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_const_t<A>*>(arguments[I])...);
  }
};
bool add_kernel(const char* name, void (*entry)(void**), const size_t* parameter_bytes);

}  // namespace simt

#define EXPORT_KERNEL(name)        \
  static const bool name##_added = \
      simt::add_kernel(#name, simt::Entry<name>::call, simt::Entry<name>::kParameterBytes)
#define STATIC_SHARED(T, name) T& name = *static_cast<T*>(simt::static_shared(sizeof(T)))
#define DYNAMIC_SHARED(T, name) T& name = *reinterpret_cast<T*>(simt::self->block->shared)

#define threadIdx (simt::self->index)
#define blockIdx (simt::self->block->index)
#define blockDim (simt::self->block->size)
#define gridDim (simt::self->block->grid)

// __COUNTER__ tells two calls on one line apart.
#define SIMT_SITE __FILE__, (__LINE__ | __COUNTER__ << 20)
#define __syncthreads() simt::block_barrier(SIMT_SITE)
#define __syncwarp() simt::warp_barrier(0xffffffffu, SIMT_SITE)
#define __shfl_sync(mask, value, lane) simt::shuffle(mask, value, lane, SIMT_SITE)
#define __shfl_xor_sync(mask, value, bits) simt::shuffle(mask, value, simt::lane_xor(bits), SIMT_SITE)
#define __shfl_down_sync(mask, value, delta) simt::shuffle(mask, value, simt::lane_down(delta), SIMT_SITE)
#define __shfl_up_sync(mask, value, delta) simt::shuffle(mask, value, simt::lane_up(delta), SIMT_SITE)
#define __ballot_sync(mask, predicate) simt::warp_ballot(mask, predicate, SIMT_SITE)

static inline float __uint_as_float(unsigned bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}
static inline unsigned __float_as_uint(float value) {
  unsigned bits;
  memcpy(&bits, &value, 4);
  return bits;
}
static inline int __popc(unsigned value) { return __builtin_popcount(value); }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline uint64_t __umul64hi(uint64_t a, uint64_t b) {
  return (uint64_t)(((unsigned __int128)a * b) >> 64);
}
template <class T>
static inline T __ldg(const T* p) {
  return *p;
}
using std::max;
using std::min;

template <class T>
static inline T atomicAdd(T* p, T value) {
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
template <class T>
static inline T atomicMin(T* p, T value) {
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (value < old && !__atomic_compare_exchange_n(p, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}
