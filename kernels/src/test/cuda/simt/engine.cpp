// The execution model: one fiber per CUDA thread, one block after another, a scheduler that can be told to be
// unkind. Compiled without sanitizers in every build; it tells them about fibers through weak symbols.
#include "engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include <map>
#include <mutex>
#include <numeric>
#include <string>

extern "C" void simt_switch_stack(void** save, void* to);
#if defined(__x86_64__)
asm(R"(.text
.globl simt_switch_stack
.hidden simt_switch_stack
.type simt_switch_stack,@function
simt_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch_stack,.-simt_switch_stack)");
#elif defined(__aarch64__)
asm(R"(.text
.globl simt_switch_stack
.hidden simt_switch_stack
simt_switch_stack:
  sub sp,sp,#160
  stp x19,x20,[sp]
  stp x21,x22,[sp,#16]
  stp x23,x24,[sp,#32]
  stp x25,x26,[sp,#48]
  stp x27,x28,[sp,#64]
  stp x29,x30,[sp,#80]
  stp d8,d9,[sp,#96]
  stp d10,d11,[sp,#112]
  stp d12,d13,[sp,#128]
  stp d14,d15,[sp,#144]
  mov x2,sp
  str x2,[x0]
  mov sp,x1
  ldp x19,x20,[sp]
  ldp x21,x22,[sp,#16]
  ldp x23,x24,[sp,#32]
  ldp x25,x26,[sp,#48]
  ldp x27,x28,[sp,#64]
  ldp x29,x30,[sp,#80]
  ldp d8,d9,[sp,#96]
  ldp d10,d11,[sp,#112]
  ldp d12,d13,[sp,#128]
  ldp d14,d15,[sp,#144]
  add sp,sp,#160
  ret)");
#else
#error "the fiber switch is written for x86-64 and AArch64"
#endif

namespace simt {

__thread Thread* self;
__thread Machine* machine;

namespace {

constexpr size_t kStackBytes = 256 << 10, kPage = 4096;
// The static part lies behind the dynamic one, poisoned in between under AddressSanitizer.
constexpr size_t kGap = 1024, kArenaBytes = kSharedBase + kSharedBytes + kGap + (48 << 10) + kGap;

enum Schedule : long { kForward, kReverse, kRandom };
// Of the launches of this thread.
thread_local long option_schedule = kForward, option_seed = 1, option_late = 0, option_last_blocks = 0;

/// The machine of a launch. Machines are used again, with their fibers, and never destroyed, because ThreadSanitizer sees
/// no order at exit.
class Lease {
 public:
  Lease() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (idle().empty()) idle().push_back(new Machine);
    machine = idle().back();
    idle().pop_back();
  }
  ~Lease() {
    std::lock_guard<std::mutex> lock(mutex_);
    idle().push_back(machine);
    machine = nullptr;
  }

 private:
  static std::vector<Machine*>& idle() {
    static auto& machines = *new std::vector<Machine*>;
    return machines;
  }
  inline static std::mutex mutex_;
};

struct Kernel {
  void (*entry)(void**);
  const size_t* parameter_bytes;
};
std::map<std::string, Kernel>& kernels() {
  static auto& map = *new std::map<std::string, Kernel>;  // never destroyed: it lives as long as the library
  return map;
}

uint64_t next_random() {
  uint64_t& r = machine->random;
  r ^= r << 13;
  r ^= r >> 7;
  r ^= r << 17;
  return r >> 11;
}

int next_runnable(unsigned from) {  // at or after `from`, cyclic
  unsigned words = (machine->threads + 63) >> 6, k = from >> 6;
  uint64_t word = machine->runnable[k] & ~0ull << (from & 63);
  for (unsigned i = 0; i <= words; i++) {
    if (word) return (int)(k << 6) + __builtin_ctzll(word);
    k = k + 1 == words ? 0 : k + 1;
    word = machine->runnable[k];
  }
  return -1;
}

int previous_runnable(unsigned from) {
  unsigned words = (machine->threads + 63) >> 6, k = from >> 6;
  uint64_t word = machine->runnable[k] & ~0ull >> (63 - (from & 63));
  for (unsigned i = 0; i <= words; i++) {
    if (word) return (int)(k << 6) + 63 - __builtin_clzll(word);
    k = k == 0 ? words - 1 : k - 1;
    word = machine->runnable[k];
  }
  return -1;
}

Fiber* pick() {
  for (;;) {
    int i;
    unsigned at = machine->position, n = machine->threads;
    if (option_schedule == kReverse)
      i = previous_runnable(at ? at - 1 : n - 1);
    else if (option_schedule == kRandom)
      i = next_runnable((unsigned)(next_random() % n));
    else
      i = next_runnable(at + 1 < n ? at + 1 : 0);
    if (i >= 0) {
      machine->position = (unsigned)i;
      return machine->fibers[(size_t)i];
    }
    // A late copy lands only when no thread can go on without it.
    if (!land_tensor_copy()) return nullptr;
  }
}

void jump(Fiber* from, Fiber* to) {  // null is the launcher
  Machine& m = *machine;
  void** save = from ? &from->stack_pointer : &m.main_stack_pointer;
  void** fake = from ? &from->fake_stack : &m.main_fake_stack;
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(to ? to->tsan : m.main_tsan, 1 /* no happens-before */);
  if (__sanitizer_start_switch_fiber)
    __sanitizer_start_switch_fiber(fake, to ? to->stack : m.main_stack, to ? kStackBytes : m.main_stack_bytes);
  self = to;
  simt_switch_stack(save, to ? to->stack_pointer : m.main_stack_pointer);
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(*fake, nullptr, nullptr);
}

void report_deadlock() {
  std::string text;
  std::vector<Fiber*> shown;
  for (Fiber* f : machine->fibers) {
    if (f->done || f->linear >= machine->threads || shown.size() == 3) continue;
    bool same = false;
    for (Fiber* s : shown) same |= s->line == f->line && s->waits_at == f->waits_at;
    if (same) continue;
    shown.push_back(f);
    char one[256];
    snprintf(one, sizeof one, " thread %u waits at %s (%s:%d);", f->linear, f->waits_at, f->file, f->line & 0xfffff);
    text += one;
  }
  fail("deadlock, %u threads alive:%s", machine->alive, text.c_str());
  machine->aborted = true;
}

void run_someone_else(Fiber* t) {
  if (machine->failed) machine->aborted = true;
  Fiber* next = machine->aborted ? nullptr : pick();
  if (!next && !machine->aborted && machine->alive) report_deadlock();
  if (next != t) jump(t, next);
}

void exchange(WarpOp& op) {
  uint64_t out[32];
  for (unsigned l = 0; l < 32; l++) {
    if (!(op.arrived >> l & 1)) continue;
    int s = op.source[l] & 31;
    if (!(op.arrived >> s & 1)) {
      fail("shuffle at %s:%d: lane %u reads lane %d, which takes no part (mask %08x)", op.file, op.line & 0xfffff, l, s,
           op.arrived);
      s = (int)l;
    }
    out[l] = op.value[s];
  }
  for (unsigned l = 0; l < 32; l++)
    if (op.arrived >> l & 1) op.value[l] = out[l];
}

void ballot(WarpOp& op) {
  uint64_t bits = 0;
  for (unsigned l = 0; l < 32; l++)
    if ((op.arrived >> l & 1) && op.value[l]) bits |= 1ull << l;
  for (uint64_t& v : op.value) v = bits;
}

bool try_complete(unsigned warp_index, WarpOp& op) {
  Warp& warp = machine->warps[warp_index];
  unsigned needed = op.mask & warp.exists & ~warp.exited;
  if (!op.arrived || (op.arrived & needed) != needed) return false;
  switch (op.kind) {
    case WarpKind::kShuffle: exchange(op); break;
    case WarpKind::kBallot: ballot(op); break;
    case WarpKind::kBarrier: break;
    default: {
      Quiet quiet;
      complete_tensor_op(warp, op);
    }
  }
  for (unsigned l = 0; l < 32; l++)
    if (op.arrived >> l & 1) make_runnable(warp_index * 32 + l);
  op.arrived = 0;
  op.generation ^= 1;
  return true;
}

void release_barrier() {
  BlockBarrier& b = machine->barrier;
  for (unsigned k = 0; k < kWords; k++) {
    machine->runnable[k] |= b.waiting[k];
    b.waiting[k] = 0;
  }
  b.arrived = 0;
  b.generation ^= 1;
}

void end_thread(Fiber* t) {  // an exited thread no longer counts for barriers
  t->done = true;
  machine->runnable[t->linear >> 6] &= ~(1ull << (t->linear & 63));
  machine->alive--;
  Warp& warp = machine->warps[t->warp];
  warp.exited |= 1u << t->lane;
  for (WarpOp& op : warp.op)
    if (op.arrived) try_complete(t->warp, op);
  if (machine->barrier.arrived && machine->barrier.arrived >= machine->alive) release_barrier();
}

/// Not inlined: a later launch may come from another thread of the process, and what is kept in registers of the addresses
/// of thread-local variables would be wrong there.
[[gnu::noinline]] void run_thread() {
  observe(&machine->tag_start);
  machine->entry(machine->arguments);
  Fiber* t = current();
  if (t->copy_count) fail("the thread ends with %d cp.async copies never waited for", t->copy_count);
  publish(&machine->tag_end);
  end_thread(t);
  run_someone_else(t);  // comes back when a later block needs this thread
}

void fiber_main() {
  if (__sanitizer_finish_switch_fiber) {
    const void* bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
    if (!machine->main_stack) {
      machine->main_stack = bottom;
      machine->main_stack_bytes = bytes;
    }
  }
  for (;;) run_thread();
}

void prepare_stack(Fiber* t) {
  if (!t->stack) {
    void* map = mmap(nullptr, kStackBytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                     -1, 0);
    mprotect(map, kPage, PROT_NONE);
    t->stack = static_cast<char*>(map) + kPage;
    if (__tsan_create_fiber) t->tsan = __tsan_create_fiber(0);
  } else if (__asan_unpoison_memory_region) {
    __asan_unpoison_memory_region(t->stack, kStackBytes);
  }
  // Tops at different offsets: at one offset of the page they would all compete for the same cache sets.
  void** top = reinterpret_cast<void**>(t->stack + kStackBytes - 64 - t->linear % 61 * 192);
  memset(top, 0, 64);
#if defined(__x86_64__)
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(fiber_main);
  top -= 6;
  memset(top, 0, 48);
#else
  top -= 20;
  memset(top, 0, 160);
  top[11] = reinterpret_cast<void*>(fiber_main);
#endif
  t->stack_pointer = top;
  t->fake_stack = nullptr;
}

void prepare_shared() {
  Machine& m = *machine;
  // Blocks of one launch share nothing but global memory. A new mapping makes ThreadSanitizer forget the last
  // block's accesses, so blocks need no happens-before among them and races through global memory are seen.
  if (m.arena && __tsan_create_fiber) {
    munmap(m.arena, kArenaBytes);
    m.arena = nullptr;
  }
  if (!m.arena)
    m.arena = static_cast<unsigned char*>(
        mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  Block& b = m.block;
  b.shared = m.arena + kSharedBase;
  size_t used = (b.dynamic_bytes + kGap - 1) / kGap * kGap;
  b.static_shared = b.shared + used + kGap;
  b.static_bytes = 0;
  if (__asan_poison_memory_region) {
    __asan_poison_memory_region(m.arena, kArenaBytes);
    __asan_unpoison_memory_region(b.shared, b.dynamic_bytes);
  }
  Quiet quiet;  // the launcher's writes are no thread's
  memset(b.shared, 0xff, b.dynamic_bytes);
}

void run_block(uint3 index) {
  Machine& m = *machine;
  Block& b = m.block;
  b.index = index;
  // Thread t of one block is another thread than t of the next, in ThreadSanitizer's eyes too.
  if (__tsan_create_fiber) std::swap(m.fibers, m.resting_fibers);
  while (m.fibers.size() < m.threads) m.fibers.push_back(new Fiber);
  m.alive = m.threads;
  m.position = option_schedule == kReverse ? 0 : m.threads - 1;
  memset(m.runnable, 0, sizeof m.runnable);
  memset(m.barrier.waiting, 0, sizeof m.barrier.waiting);
  m.barrier.arrived = 0;
  for (Warp& w : m.warps) {
    w.exists = w.exited = 0;
    w.fenced = false;
    w.issued.clear();
    w.groups.clear();
    w.issue_hash = 0;
    for (WarpOp& op : w.op) op.arrived = 0;
  }
  m.tensor_copies.clear();
  m.barrier_waits.clear();
  for (unsigned i = 0; i < m.threads; i++) {
    Fiber* t = m.fibers[i];
    t->done = false;
    t->block = &b;
    t->linear = i;
    t->lane = i & 31;
    t->warp = i >> 5;
    t->copy_count = t->group_count = 0;
    t->index = {i % b.size.x, i / b.size.x % b.size.y, i / (b.size.x * b.size.y)};
    make_runnable(i);
    m.warps[t->warp].exists |= 1u << t->lane;
    if (m.fresh_fibers_needed || !t->stack_pointer) prepare_stack(t);
  }
  m.fresh_fibers_needed = false;
  prepare_shared();
  jump(nullptr, pick());
  if (m.aborted)
    for (Fiber* t : m.fibers) t->stack_pointer = nullptr;  // half-run kernels: to be prepared again
  else
    check_async_at_end();
}

std::vector<uint64_t> block_order(uint64_t blocks) {
  uint64_t count = option_last_blocks ? std::min(blocks, (uint64_t)option_last_blocks) : blocks;
  std::vector<uint64_t> order(count);
  std::iota(order.begin(), order.end(), blocks - count);
  if (option_schedule == kReverse) std::reverse(order.begin(), order.end());
  if (option_schedule == kRandom)
    for (uint64_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[next_random() % i]);
  return order;
}

}  // namespace

void fail(const char* format, ...) {
  if (machine->failed) return;  // the first error is the cause
  machine->failed = true;
  va_list arguments;
  va_start(arguments, format);
  int used = vsnprintf(machine->error, sizeof machine->error, format, arguments);
  va_end(arguments);
  if (used < 0 || (size_t)used >= sizeof machine->error || !self) return;
  const uint3 &b = self->block->index, &t = self->index;
  snprintf(machine->error + used, sizeof machine->error - (size_t)used, " [block (%u,%u,%u) thread (%u,%u,%u)]", b.x, b.y,
           b.z, t.x, t.y, t.z);
}

bool late(long mechanism) { return option_late & mechanism; }

bool add_kernel(const char* name, void (*entry)(void**), const size_t* parameter_bytes) {
  return kernels().emplace(name, Kernel{entry, parameter_bytes}).second;
}

void* static_shared(size_t bytes) {
  Block& b = machine->block;
  if (b.static_bytes == 0) {
    if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(b.static_shared, bytes);
    Quiet quiet;
    memset(b.static_shared, 0xff, bytes);
    b.static_bytes = bytes;
  }
  if (b.static_bytes != bytes) fail("one STATIC_SHARED a kernel: %zu and %zu bytes", b.static_bytes, bytes);
  return b.static_shared;
}

void wait_here(const char* why, const char* file, int line) {
  Fiber* t = current();
  t->waits_at = why;
  t->file = file;
  t->line = line;
  machine->runnable[t->linear >> 6] &= ~(1ull << (t->linear & 63));
  run_someone_else(t);
}

void block_barrier(const char* file, int line) {
  Fiber* t = current();
  BlockBarrier& b = machine->barrier;
  if (b.arrived == 0) {
    b.file = file;
    b.line = line;
  } else if (b.line != line || b.file != file) {
    fail("divergent barrier: threads of one block meet at %s:%d and %s:%d", b.file, b.line & 0xfffff, file,
         line & 0xfffff);
  }
  char* tag = &machine->tag_barrier[b.generation];
  publish(tag);
  b.waiting[t->linear >> 6] |= 1ull << (t->linear & 63);
  if (++b.arrived >= machine->alive)
    release_barrier();
  else
    wait_here("__syncthreads", file, line);
  observe(tag);
}

WarpOp& join_warp_op(unsigned mask, WarpKind kind, const void* payload, uint64_t value, int source, const char* file,
                     int line) {
  Fiber* t = current();
  unsigned lane = t->lane;
  if (!(mask >> lane & 1)) {
    fail("%s:%d: lane %u calls a warp function with mask %08x that leaves it out", file, line & 0xfffff, lane, mask);
    mask |= 1u << lane;
  }
  WarpOp& op = machine->warps[t->warp].op[__builtin_ctz(mask)];
  if (!op.arrived) {
    op.mask = mask;
    op.kind = kind;
    op.file = file;
    op.line = line;
  } else if (op.mask != mask || op.kind != kind || op.line != line) {
    fail("%s:%d: a warp function meets another one of its warp at %s:%d (masks %08x, %08x)", file, line & 0xfffff,
         op.file, op.line & 0xfffff, mask, op.mask);
  }
  // Only __syncwarp orders memory; a shuffle does not.
  char* tag = kind == WarpKind::kBarrier ? &machine->tag_warp[t->warp][__builtin_ctz(mask)][op.generation] : nullptr;
  if (tag) publish(tag);
  op.payload[lane] = payload;
  op.value[lane] = value;
  op.source[lane] = source;
  op.arrived |= 1u << lane;
  if (!try_complete(t->warp, op)) wait_here("a warp function", file, line);
  if (tag) observe(tag);
  return op;
}

void warp_barrier(unsigned mask, const char* file, int line) {
  join_warp_op(mask, WarpKind::kBarrier, nullptr, 0, 0, file, line);
}
uint64_t warp_exchange(unsigned mask, uint64_t value, int source, const char* file, int line) {
  unsigned lane = self->lane;
  return join_warp_op(mask, WarpKind::kShuffle, nullptr, value, source, file, line).value[lane];
}
unsigned warp_ballot(unsigned mask, bool predicate, const char* file, int line) {
  unsigned lane = self->lane;
  return (unsigned)join_warp_op(mask, WarpKind::kBallot, nullptr, predicate, 0, file, line).value[lane];
}

}  // namespace simt

// ---- What Java calls.

/// Runs a kernel as `cuLaunchKernel` would; 0, or 1 with the reason in `error`.
extern "C" int simt_launch(const char* name, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                           unsigned bz, size_t shared_bytes, void** arguments, char* error, size_t error_bytes) {
  using namespace simt;
  Lease lease;
  Machine& m = *machine;
  m.failed = m.aborted = false;
  self = nullptr;
  uint64_t threads = (uint64_t)bx * by * bz, blocks = (uint64_t)gx * gy * gz;
  auto kernel = kernels().find(name);
  if (kernel == kernels().end()) {
    fail("no such kernel");
  } else if (!threads || threads > kMaxThreads || !blocks || gy > 65535 || gz > 65535 || shared_bytes > kSharedBytes) {
    fail("launch outside the limits: grid %ux%ux%u, block %ux%ux%u, %zu bytes shared", gx, gy, gz, bx, by, bz,
         shared_bytes);
  } else {
    m.entry = kernel->second.entry;
    m.arguments = arguments;
    m.threads = (unsigned)threads;
    m.block.size = {bx, by, bz};
    m.block.grid = {gx, gy, gz};
    m.block.dynamic_bytes = shared_bytes;
    m.random = 0x9E3779B97F4A7C15ull * (uint64_t)(option_seed + 1);
    m.main_stack = nullptr;
    m.main_fake_stack = nullptr;
    if (__sanitizer_start_switch_fiber) m.fresh_fibers_needed = true;  // the launcher's stack is learnt on entry
    if (__tsan_get_current_fiber) m.main_tsan = __tsan_get_current_fiber();
    publish(&m.tag_start);
    for (uint64_t i : block_order(blocks)) {
      if (m.failed) break;
      run_block({(unsigned)(i % gx), (unsigned)(i / gx % gy), (unsigned)(i / ((uint64_t)gx * gy))});
    }
    self = nullptr;
    observe(&m.tag_end);
  }
  if (m.failed) snprintf(error, error_bytes, "%s", m.error);
  return m.failed;
}

/// Bytes of a kernel's parameter; 0 behind the last one, -1 if there is no such kernel.
extern "C" int simt_parameter_bytes(const char* name, int index) {
  auto kernel = simt::kernels().find(name);
  return kernel == simt::kernels().end() ? -1 : (int)kernel->second.parameter_bytes[index];
}

/// Sets `schedule` (0 forward, 1 reverse, 2 random), `seed`, `late` (bits of the late mechanisms), or `last_blocks`
/// (run only so many, the last of the grid; 0 is all).
extern "C" int simt_set(const char* key, long value) {
  if (!strcmp(key, "schedule"))
    simt::option_schedule = value;
  else if (!strcmp(key, "seed"))
    simt::option_seed = value;
  else if (!strcmp(key, "late"))
    simt::option_late = value;
  else if (!strcmp(key, "last_blocks"))
    simt::option_last_blocks = value;
  else
    return 1;
  return 0;
}

/// Memory that reads as zero and takes pages only where it is touched; null if there is no room for it.
extern "C" void* simt_reserve(size_t bytes) {
  void* map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return map == MAP_FAILED ? nullptr : map;
}
extern "C" void simt_release(void* map, size_t bytes) { munmap(map, bytes); }
