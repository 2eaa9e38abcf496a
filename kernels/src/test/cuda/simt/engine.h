// Inside of the engine: what engine.cpp and async.cpp share. Kernels see simt.h and async.h only.
#pragma once
#include <vector>

#include "async.h"
#include "simt.h"

// Present only when the library is built with the sanitizer in question. The engine itself is never
// instrumented: its fibers and its views into other threads' memory are not what the sanitizers should judge.
extern "C" {
void* __tsan_create_fiber(unsigned) __attribute__((weak));
void __tsan_switch_to_fiber(void*, unsigned) __attribute__((weak));
void* __tsan_get_current_fiber() __attribute__((weak));
void __tsan_acquire(void*) __attribute__((weak));
void __tsan_release(void*) __attribute__((weak));
void AnnotateIgnoreReadsBegin(const char*, int) __attribute__((weak));
void AnnotateIgnoreReadsEnd(const char*, int) __attribute__((weak));
void AnnotateIgnoreWritesBegin(const char*, int) __attribute__((weak));
void AnnotateIgnoreWritesEnd(const char*, int) __attribute__((weak));
void __sanitizer_start_switch_fiber(void**, const void*, size_t) __attribute__((weak));
void __sanitizer_finish_switch_fiber(void*, const void**, size_t*) __attribute__((weak));
void __asan_poison_memory_region(void const volatile*, size_t) __attribute__((weak));
void __asan_unpoison_memory_region(void const volatile*, size_t) __attribute__((weak));
void* __asan_region_is_poisoned(void*, size_t) __attribute__((weak));
}

namespace simt {

constexpr unsigned kMaxThreads = 1024, kWarps = kMaxThreads / 32, kWords = kMaxThreads / 64;
constexpr size_t kSharedBytes = 227 << 10;      // what one block may use on sm_90
constexpr unsigned kSharedBase = 1024;          // address of dynamic shared memory in the emulated window

/// ThreadSanitizer intercepts the engine's own memcpy and malloc; inside this scope it does not look.
struct Quiet {
  Quiet() {
    if (AnnotateIgnoreReadsBegin) {
      AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
      AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    }
  }
  ~Quiet() {
    if (AnnotateIgnoreReadsBegin) {
      AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
      AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    }
  }
};

static inline void publish(void* tag) {
  if (__tsan_release) __tsan_release(tag);
}
static inline void observe(void* tag) {
  if (__tsan_acquire) __tsan_acquire(tag);
}

struct Fiber : Thread {
  void* stack_pointer = nullptr;
  char* stack = nullptr;
  void* tsan = nullptr;
  void* fake_stack = nullptr;
  bool done = true;
  const char* waits_at = "";
  const char* file = "";
  int line = 0;
};

enum class WarpKind { kShuffle, kBallot, kBarrier, kMma, kMmaSparse, kWgmma, kWgmmaFence, kWgmmaCommit, kWgmmaWait };

/// A warp-wide operation that gathers its lanes; the last one to arrive carries it out for all.
struct WarpOp {
  unsigned mask = 0, arrived = 0, generation = 0;
  WarpKind kind = WarpKind::kBarrier;
  const char* file = "";
  int line = 0;
  uint64_t value[32];
  int source[32];
  const void* payload[32];
};

/// One warp's quarter of a wgmma: 16 of the 64 rows.
struct Wgmma {
  int columns;
  uint64_t b;
  float* d[32];
  const unsigned* a[32];
};

struct Warp {
  WarpOp op[32];               // by lowest lane of the mask, so disjoint masks do not meet
  unsigned exists = 0, exited = 0;
  bool fenced = false;         // wgmma.fence since the last wait
  std::vector<Wgmma> issued;   // wgmma not yet carried out (late) or not yet waited for
  std::vector<size_t> groups;  // ends of committed groups in `issued`
  uint64_t issue_hash = 0;     // of all wgmma issued: must agree over a warpgroup
};

struct TensorCopy {
  TensorMap map;
  unsigned to;
  Mbarrier* barrier;
  int column, row;
};
struct BarrierWait {
  Fiber* fiber;
  Mbarrier* barrier;
  unsigned parity;
};

struct BlockBarrier {
  unsigned arrived = 0, generation = 0;
  const char* file = "";
  int line = 0;
  uint64_t waiting[kWords];
};

/// A running launch. A thread of the process has one at a time.
struct Machine {
  Block block;
  std::vector<Fiber*> fibers, resting_fibers;
  unsigned threads = 0, alive = 0, position = 0;
  uint64_t runnable[kWords];
  uint64_t random = 1;
  Warp warps[kWarps];
  BlockBarrier barrier;
  std::vector<TensorCopy> tensor_copies;
  std::vector<BarrierWait> barrier_waits;
  void (*entry)(void**) = nullptr;
  void** arguments = nullptr;
  void* main_stack_pointer = nullptr;
  void* main_tsan = nullptr;
  void* main_fake_stack = nullptr;
  const void* main_stack = nullptr;
  size_t main_stack_bytes = 0;
  unsigned char* arena = nullptr;
  bool failed = false, aborted = false, fresh_fibers_needed = false;
  char error[1024];
  // Tags that ThreadSanitizer's happens-before runs through; two per barrier, since phases must not mix.
  char tag_barrier[2], tag_warp[kWarps][32][2], tag_start, tag_end;
};
/// Of the launch that runs on this thread.
extern __thread Machine* machine __attribute__((tls_model("initial-exec")));

static inline Fiber* current() { return static_cast<Fiber*>(self); }
static inline void make_runnable(unsigned thread) { machine->runnable[thread >> 6] |= 1ull << (thread & 63); }

/// Suspends the running thread until someone makes it runnable.
void wait_here(const char* why, const char* file, int line);
/// Joins a warp-wide operation and returns when it has been carried out.
WarpOp& join_warp_op(unsigned mask, WarpKind kind, const void* payload, uint64_t value, int source, const char* file,
                     int line);
/// Carries out a tensor-core operation whose lanes have all arrived.
void complete_tensor_op(Warp& warp, WarpOp& op);
/// Lets one late tensor copy land; false if there is none.
bool land_tensor_copy();
/// What must hold when a block has ended.
void check_async_at_end();

}  // namespace simt
