// What kernels need beyond CUDA C++: every PTX instruction behind one small function, its GPU form and its CPU
// form side by side. This is the only file with inline PTX. The CPU forms call the execution model in
// src/test/cuda/simt, under which every build runs the kernels.
#pragma once
#include <stdint.h>

#if defined(__CUDACC__)
#define EXPORT_KERNEL(name) static_assert(true, "")
#define STATIC_SHARED(T, name) __shared__ T name
#define DYNAMIC_SHARED(T, name)                                     \
  extern __shared__ __align__(1024) unsigned char dynamic_shared[]; \
  T& name = *reinterpret_cast<T*>(dynamic_shared)
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HAS_WGMMA 1
#endif
#define GPU_FORM __device__ __forceinline__
/// A CUtensorMap.
struct alignas(64) TensorMap {
  uint64_t opaque[16];
};
#else
#include "simt.h"
#include "async.h"
#define HAS_WGMMA 1
using simt::TensorMap;
#endif

constexpr unsigned kAllLanes = 0xffffffffu;

// ---- Address of shared memory as the instructions below take it.
#if defined(__CUDACC__)
GPU_FORM unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
#else
static inline unsigned shared_address(const void* p) { return simt::shared_address(p); }
#endif

// ---- float32 to TF32 (10 bits of mantissa), to nearest, ties away from zero. Tensor cores ignore the lower bits
// of their operands, so without this they would truncate: twice the error, and a bias.
#if defined(__CUDACC__)
GPU_FORM unsigned to_tf32(float x) {
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}
#else
static inline unsigned to_tf32(float x) { return simt::round_tf32(x); }
#endif

// ---- The same for operands of tensor cores alone, which drop the lower bits themselves: one instruction on sm_90, where
// to_tf32 takes four. Half a unit in the last place is added to the magnitude; NaN, which that would make a zero, is the
// largest integer and so stays. volatile keeps it where it is written: before a wait, and not at its use behind it.
#if defined(__CUDACC__)
GPU_FORM unsigned round_for_tensor_core(float x) {
  unsigned bits;
  asm volatile(
      "{\n"
      ".reg .s32 up;\n"
      "add.s32 up, %1, 4096;\n"
      "max.s32 %0, up, %1;\n"
      "}"
      : "=r"(bits)
      : "r"(__float_as_uint(x)));
  return bits;
}
#else
static inline unsigned round_for_tensor_core(float x) {
  const unsigned bits = __float_as_uint(x), up = bits + 4096;
  return (int)up > (int)bits ? up : bits;
}
#endif

/// What a tensor core reads of such an operand.
__device__ __forceinline__ float truncated(unsigned operand) { return __uint_as_float(operand & 0xffffe000u); }

// ---- Two float32 to bfloat16, to nearest, ties to even. The first becomes the lower half.
#if defined(__CUDACC__)
GPU_FORM unsigned to_bf16_pair(float low, float high) {
  unsigned bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}
#else
static inline unsigned to_bf16_pair(float low, float high) { return simt::round_bf16(low) | simt::round_bf16(high) << 16; }
#endif

// ---- d += a·b on one warp's tensor core: a 16×8, b 8×8, d 16×8.
#if defined(__CUDACC__)
GPU_FORM void mma_m16n8k8(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#else
#define mma_m16n8k8(d, a, b) simt::mma_tf32(d, a, b, SIMT_SITE)
#endif

// ---- The same of bfloat16 (sm_80), where a has at most two of each four along a row: a 16×32, b 32×8. a holds two values of
// each four; where they belong is in metadata, a nibble for each four, the first value's place in its lower half, and less
// than the second's. Lane 4 g + 2 `selector` gives the nibbles of rows g and g + 8 (upper half), columns 0 to 15, and the
// next lane those of columns 16 to 31; the other lanes' metadata is not read.
#if defined(__CUDACC__)
GPU_FORM void mma_sparse_m16n8k32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[4], unsigned metadata,
                                  int selector) {
#define MMA_SPARSE(SELECTOR)                                                                                             \
  asm volatile(                                                                                                          \
      "mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "   \
      "{%8, %9, %10, %11}, {%0, %1, %2, %3}, %12, " #SELECTOR ";"                                                        \
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                                                   \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]), "r"(metadata))
  if (selector == 0)
    MMA_SPARSE(0x0);
  else
    MMA_SPARSE(0x1);
#undef MMA_SPARSE
}
#else
#define mma_sparse_m16n8k32(d, a, b, metadata, selector) simt::mma_sparse_bf16(d, a, b, metadata, selector, SIMT_SITE)
#endif

// ---- V floats that move as one access, to global memory where stored. Left alone, nvcc stores some element by element.
template <int V>
struct alignas(4 * V) Vector {
  float v[V];
};
template <int V>
__device__ __forceinline__ Vector<V> load(const float* p) {
  return *reinterpret_cast<const Vector<V>*>(p);
}
#if defined(__CUDACC__)
template <int V>
GPU_FORM void store(float* p, const Vector<V>& x) {
  if constexpr (V == 4)
    asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(p), "f"(x.v[0]), "f"(x.v[1]), "f"(x.v[2]), "f"(x.v[3])
                 : "memory");
  else
    *reinterpret_cast<Vector<V>*>(p) = x;
}
/// The same to shared memory. One function for both would take any address, one in local memory too: ptxas then keeps
/// arrays there, sinf's among them.
GPU_FORM void store_shared(void* p, const Vector<4>& x) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(p)), "f"(x.v[0]), "f"(x.v[1]), "f"(x.v[2]),
               "f"(x.v[3])
               : "memory");
}
#else
template <int V>
static inline void store(float* p, const Vector<V>& x) {
  simt::check_global(p);
  *reinterpret_cast<Vector<V>*>(p) = x;
}
static inline void store_shared(void* p, const Vector<4>& x) {
  simt::shared_address(p);
  *static_cast<Vector<4>*>(p) = x;
}
#endif

// ---- Copies global → shared that run on their own (sm_80). BYTES is 4 or 16 and the alignment of both sides; only
// `valid` bytes are read, the rest becomes zero.
#if defined(__CUDACC__)
template <int BYTES>
GPU_FORM void copy_async(void* shared, const void* global, int valid) {
  static_assert(BYTES == 4 || BYTES == 16, "");
  if constexpr (BYTES == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(valid)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(valid)
                 : "memory");
}
GPU_FORM void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int KEEP>
GPU_FORM void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(KEEP) : "memory");
}
#else
template <int BYTES>
static inline void copy_async(void* shared, const void* global, int valid) {
  simt::copy_async(shared, global, BYTES, valid);
}
static inline void copy_async_commit() { simt::copy_async_commit(); }
template <int KEEP>
static inline void copy_async_wait() {
  simt::copy_async_wait(KEEP);
}
#endif

#if defined(HAS_WGMMA)
// ---- mbarrier: threads and copies arrive, threads wait for a phase.
#if defined(__CUDACC__)
GPU_FORM void mbarrier_init(uint64_t* barrier, unsigned count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
}
/// Shows initialised barriers to the copy engine; then a __syncthreads shows them to the block.
GPU_FORM void mbarrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster; fence.proxy.async.shared::cta;" ::: "memory");
}
GPU_FORM void mbarrier_arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
/// Only where `arrives`, without a branch: in a divergent one ptxas keeps no address in a uniform register.
GPU_FORM void mbarrier_arrive_if(bool arrives, uint64_t* barrier) {
  asm volatile(
      "{\n"
      ".reg .pred arrives;\n"
      "setp.ne.u32 arrives, %0, 0;\n"
      "@arrives mbarrier.arrive.shared::cta.b64 _, [%1];\n"
      "}" ::"r"((unsigned)arrives),
      "r"(shared_address(barrier))
      : "memory");
}
GPU_FORM void mbarrier_arrive_expect(uint64_t* barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}
GPU_FORM void mbarrier_wait(uint64_t* barrier, unsigned parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}
#else
static inline void mbarrier_init(uint64_t* barrier, unsigned count) {
  simt::mbarrier_init(reinterpret_cast<simt::Mbarrier*>(barrier), count);
}
static inline void mbarrier_init_fence() {}
static inline void mbarrier_arrive(uint64_t* barrier) {
  simt::mbarrier_arrive(reinterpret_cast<simt::Mbarrier*>(barrier), 0);
}
static inline void mbarrier_arrive_if(bool arrives, uint64_t* barrier) {
  if (arrives) mbarrier_arrive(barrier);
}
static inline void mbarrier_arrive_expect(uint64_t* barrier, unsigned bytes) {
  simt::mbarrier_arrive(reinterpret_cast<simt::Mbarrier*>(barrier), bytes);
}
#define mbarrier_wait(barrier, parity) simt::mbarrier_wait(reinterpret_cast<simt::Mbarrier*>(barrier), parity, SIMT_SITE)
#endif

// ---- TMA: one box of a matrix into shared memory, zero outside the matrix; its bytes arrive on the barrier.
#if defined(__CUDACC__)
GPU_FORM void tensor_copy(void* shared, const TensorMap* map, uint64_t* barrier, int column, int row) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
          shared_address(shared)),
      "l"(map), "r"(shared_address(barrier)), "r"(column), "r"(row)
      : "memory");
}
#else
static inline void tensor_copy(void* shared, const TensorMap* map, uint64_t* barrier, int column, int row) {
  simt::tensor_copy(shared, map, reinterpret_cast<simt::Mbarrier*>(barrier), column, row);
}
#endif

// ---- wgmma: d += a·b by four warps, a 64×8 from registers, b 8×128 from shared memory (K-major), d 64×128.
#if defined(__CUDACC__)
#define WGMMA_D8(i) \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
GPU_FORM void wgmma_m64n128k8(float (&d)[64], const unsigned (&a)[4], uint64_t b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n128k8.f32.tf32.tf32 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "{%64, %65, %66, %67}, %68, 1, 1, 1;"
      : WGMMA_D8(0), WGMMA_D8(8), WGMMA_D8(16), WGMMA_D8(24), WGMMA_D8(32), WGMMA_D8(40), WGMMA_D8(48), WGMMA_D8(56)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}
#undef WGMMA_D8
/// Orders earlier register accesses before the wgmma that follow.
GPU_FORM void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
/// Shows what this thread wrote to shared memory to the wgmma that read it behind a barrier.
GPU_FORM void show_to_tensor_cores() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
GPU_FORM void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int KEEP>
GPU_FORM void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(KEEP) : "memory");
}
#else
#define wgmma_m64n128k8(d, a, b) simt::wgmma_tf32(128, d, a, b, SIMT_SITE)
static inline void show_to_tensor_cores() {}
#define wgmma_fence() simt::wgmma_fence(SIMT_SITE)
#define wgmma_commit() simt::wgmma_commit(SIMT_SITE)
template <int KEEP>
static inline void wgmma_wait() {
  simt::wgmma_wait(KEEP, __FILE__, __LINE__);
}
#endif

// ---- Moves registers from a warpgroup that needs few to one that needs many.
#if defined(__CUDACC__)
template <int REGISTERS>
GPU_FORM void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}
template <int REGISTERS>
GPU_FORM void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}
#else
template <int REGISTERS>
static inline void give_registers() {}
template <int REGISTERS>
static inline void take_registers() {}
#endif
#endif  // HAS_WGMMA

// ---- Index arithmetic is the same C++ on both machines.

/// Where the 128-byte swizzle puts a byte: 16-byte column c of row r lies at column c ^ (r mod 8).
__device__ __forceinline__ unsigned swizzle_128(unsigned byte) { return byte ^ ((byte >> 7 & 7) << 4); }

/// Descriptor of a K-major operand whose rows are 128 swizzled bytes, in groups of 8 rows 1024 bytes apart. The
/// leading offset has no meaning in this layout; 1 is what CUTLASS writes.
__device__ __forceinline__ uint64_t swizzled_operand(unsigned address) {
  return (uint64_t)(address >> 4 & 0x3fff) | 1ull << 16 | (uint64_t)(1024 >> 4) << 32 | 1ull << 62;
}
