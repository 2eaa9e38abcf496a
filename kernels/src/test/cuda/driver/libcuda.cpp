// Stands in for libcuda.so.1 over kernels built for the CPU (../simt), so that what calls the driver, JCuda's natives
// included, runs without a GPU: a device of compute capability 9.0 whose memory is the host's, or two, neither of which
// reaches the memory and the streams of the other. Work is done at once; in a
// stream that records it is kept for the graph. Calls with a null handle or in no context fail as the driver's do. The
// default pool holds freed memory until it is trimmed, or until a synchronisation finds more than its threshold. A test can
// let a call fail (stand_in_fail): then it does nothing, but for a call that releases something, which releases it, and the
// end of a recording, which drops it. After LAUNCH_FAILED every call in the context fails so, until it is released. A test
// can also choose the chip, the driver's version and the number of devices (stand_in_play).
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

extern "C" int simt_launch(const char* name, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                           size_t shared_bytes, void** arguments, char* error, size_t error_bytes);
extern "C" int simt_parameter_bytes(const char* name, int index);
extern "C" int simt_tensor_map(void* map, const void* address, uint64_t columns, uint64_t rows, uint64_t row_bytes,
                               uint32_t box_columns, uint32_t box_rows);

namespace {
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500,
       ILLEGAL_ADDRESS = 700, LAUNCH_FAILED = 719, UNKNOWN = 999 };

constexpr size_t kMemory = size_t(1) << 30;  // of each device
constexpr int kDevices = 2, kFirst = 7;      // devices at the most, and the handle of the first
constexpr size_t kFilled = size_t(1) << 20;  // of new memory, with NaN: tests open thousands of backends

std::atomic<int> handles = 0;  // streams, events, graphs and modules, and of cuBLAS, that are not destroyed

struct Handle {
  Handle() { handles++; }
  Handle(const Handle&) { handles++; }
  ~Handle() { handles--; }
};
struct Graph : Handle {
  std::vector<std::function<int()>> work;
};
struct Stream : Handle {
  int device;
  explicit Stream(int of) : device(of) {}
  Graph* recording = nullptr;
};
struct Event : Handle {
  std::chrono::steady_clock::time_point at;
};

std::mutex lock;
struct Pool {
  size_t used = 0;
  size_t reserved = 0;  // what is used, and what it keeps
  uint64_t threshold = 0;
};
struct Device {
  std::map<uintptr_t, size_t> allocations;
  Pool pool;
  char context;
};
Device devices[kDevices];
std::map<uintptr_t, size_t> registered;
std::atomic<int> contexts = 0;        // retained and not released
thread_local int current = kDevices;  // the device whose context this thread is in; none
struct Failure {
  long long calls;  // until one fails
  int status;
};
std::map<std::string, Failure> failing;  // by function; "" counts calls of any
std::string failed;                      // the last function that failed so
int broken = OK;                         // what every call in the context fails with
const std::map<std::string, long long> real = {
    {"compute capability", 90}, {"driver", 13000}, {"launches", 1}, {"devices", 1}};
std::map<std::string, long long> played = real;

/// The status that a test lets this call fail with, else OK.
int demanded(const char* function) {
  std::lock_guard<std::mutex> guard(lock);
  for (const char* key : {function, ""}) {
    auto at = failing.find(key);
    if (at == failing.end() || --at->second.calls > 0) continue;
    int status = at->second.status;
    failing.erase(at);
    failed = function;
    if (status == LAUNCH_FAILED && contexts) broken = status;
    return status;
  }
  std::string name = function;
  bool outside = name.rfind("cuInit", 0) == 0 || name.rfind("cuD", 0) == 0 || name.rfind("cuMemPool", 0) == 0;
  return outside ? OK : broken;
}
#define MAY_FAIL if (int status = demanded(__func__)) return status

bool in_context() { return current < kDevices; }
bool is_device(int device) { return device >= kFirst && device < kFirst + played.at("devices"); }

void trim(Pool& pool, size_t keep) {
  std::lock_guard<std::mutex> guard(lock);
  pool.reserved = std::max(pool.used, std::min(pool.reserved, keep));
}

int synchronized() {
  if (in_context()) trim(devices[current].pool, devices[current].pool.threshold);
  return OK;
}

Pool* pool_of(void* handle) {
  for (Device& device : devices)
    if (handle == &device.pool) return &device.pool;
  return nullptr;
}

/// Does work now, or records it.
int run(void* stream, std::function<int()> work) {
  if (!in_context()) return INVALID_CONTEXT;
  if (!stream || ((Stream*)stream)->device != current) return INVALID_HANDLE;
  if (Graph* graph = ((Stream*)stream)->recording) {
    graph->work.push_back(std::move(work));
    return OK;
  }
  return work();
}

bool holds(const std::map<uintptr_t, size_t>& memory, uintptr_t address, size_t bytes) {
  std::lock_guard<std::mutex> guard(lock);
  auto next = memory.upper_bound(address);
  if (next == memory.begin()) return false;
  --next;
  return address + bytes <= next->first + next->second;
}

/// Whether the device in whose context this thread is has the memory.
bool has(uintptr_t address, size_t bytes) { return in_context() && holds(devices[current].allocations, address, bytes); }

/// Whether another device has it.
bool is_of_another(uintptr_t address) {
  for (int d = 0; d < kDevices; d++)
    if (d != current && holds(devices[d].allocations, address, 1)) return true;
  return false;
}

int copy(uintptr_t to, uintptr_t from, size_t bytes, void* stream) {
  return run(stream, [=] {
    memcpy((void*)to, (void*)from, bytes);
    return OK;
  });
}
}  // namespace

// What libcublas.cpp needs.
int stand_in_run(void* stream, std::function<int()> work) { return run(stream, std::move(work)); }
bool stand_in_is_recording(void* stream) { return stream && ((Stream*)stream)->recording; }
bool stand_in_holds(uintptr_t address, size_t bytes) { return has(address, bytes); }
bool stand_in_has_context() { return in_context(); }
int stand_in_demanded(const char* function) { return demanded(function); }
void stand_in_count_handle(int change) { handles += change; }

extern "C" {
// What the driver itself does not tell: what is held of a kind, or the pool's threshold; -2 of what it does not know.
long long stand_in(const char* what) {
  std::lock_guard<std::mutex> guard(lock);
  size_t allocations = 0;
  Pool all;
  for (Device& device : devices) {
    allocations += device.allocations.size();
    all.used += device.pool.used;
    all.reserved += device.pool.reserved;
    all.threshold += device.pool.threshold;
  }
  const std::map<std::string, long long> held = {{"allocations", allocations}, {"registrations", registered.size()},
      {"handles", handles}, {"contexts", contexts}, {"used", all.used}, {"reserved", all.reserved},
      {"threshold", all.threshold}, {"used by the second", devices[1].pool.used}};
  auto found = held.find(what);
  return found == held.end() ? -2 : found->second;
}

// Lets the nth call of a function from now on fail with a status, once; the nth of any if its name is empty. 0: none
// fails any more, and chip and driver are as they were.
void stand_in_fail(const char* function, long long nth, int status) {
  std::lock_guard<std::mutex> guard(lock);
  if (nth) {
    failing[function] = {nth, status};
  } else {
    failing.clear();
    failed.clear();
    played = real;
  }
}
// Plays another "compute capability" (75 is 7.5), "driver" (12040 is one for CUDA 12.4), one whose kernels write nothing
// ("launches", 0), or two "devices".
void stand_in_play(const char* what, long long value) {
  std::lock_guard<std::mutex> guard(lock);
  played.at(what) = value;
}
// The last function that failed so, empty if none did.
const char* stand_in_failed() { return failed.c_str(); }

int cuInit(unsigned flags) {
  MAY_FAIL;
  return flags ? INVALID_VALUE : OK;
}
int cuDriverGetVersion(int* version) {
  MAY_FAIL;
  return *version = played.at("driver"), OK;
}
int cuDeviceGetCount(int* count) {
  MAY_FAIL;
  return *count = played.at("devices"), OK;
}
int cuDeviceGet(int* device, int ordinal) {
  MAY_FAIL;
  return *device = kFirst + ordinal, is_device(*device) ? OK : INVALID_VALUE;
}
int cuDeviceGetName(char* name, int length, int device) {
  MAY_FAIL;
  return snprintf(name, length, device == kFirst ? "Stand-in" : "Stand-in %d", device - kFirst), OK;
}
int cuDeviceGetPCIBusId(char* id, int length, int device) {
  MAY_FAIL;
  return snprintf(id, length, "0000:%02d:00.0", device - kFirst), OK;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
  MAY_FAIL;
  return *bytes = kMemory, OK;
}
// Bytes of shared memory of a multiprocessor.
static int shared_memory(long long capability) {
  switch (capability) {
    case 80: return 164 << 10;
    case 86:
    case 89:
    case 120: return 100 << 10;
    default: return 228 << 10;
  }
}

int cuDeviceGetAttribute(int* value, int attribute, int) {
  MAY_FAIL;
  switch (attribute) {
    case 16: return *value = 4, OK;  // multiprocessors
    case 75: return *value = played.at("compute capability") / 10, OK;
    case 76: return *value = played.at("compute capability") % 10, OK;
    case 81: return *value = shared_memory(played.at("compute capability")), OK;
    default: return INVALID_VALUE;
  }
}

int cuDevicePrimaryCtxRetain(void** context, int device) {
  MAY_FAIL;
  if (!is_device(device)) return INVALID_VALUE;
  return contexts++, *context = &devices[device - kFirst].context, OK;
}
int cuDevicePrimaryCtxRelease_v2(int) {
  if (contexts <= 0) return INVALID_CONTEXT;
  if (--contexts == 0) broken = OK;
  return demanded(__func__);
}
int cuDevicePrimaryCtxRelease(int device) { return cuDevicePrimaryCtxRelease_v2(device); }
int cuCtxSetCurrent(void* context) {
  MAY_FAIL;
  current = 0;
  while (current < kDevices && context != &devices[current].context) current++;
  return in_context() ? OK : INVALID_CONTEXT;
}

// ---- memory ----
int cuMemGetInfo_v2(size_t* free, size_t* total) {
  MAY_FAIL;
  if (!in_context()) return INVALID_CONTEXT;
  std::lock_guard<std::mutex> guard(lock);
  return *free = kMemory - devices[current].pool.reserved, *total = kMemory, OK;
}
int cuDeviceGetDefaultMemPool(void** out, int device) {
  MAY_FAIL;
  if (!is_device(device)) return INVALID_VALUE;
  return *out = &devices[device - kFirst].pool, OK;
}
int cuMemPoolGetAttribute(void* of, int attribute, void* value) {
  MAY_FAIL;
  Pool* pool = pool_of(of);
  if (!pool) return INVALID_VALUE;
  std::lock_guard<std::mutex> guard(lock);
  switch (attribute) {
    case 4: return *(uint64_t*)value = pool->threshold, OK;
    case 5: return *(uint64_t*)value = pool->reserved, OK;
    case 7: return *(uint64_t*)value = pool->used, OK;
    default: return INVALID_VALUE;
  }
}
int cuMemPoolSetAttribute(void* of, int attribute, void* value) {
  MAY_FAIL;
  Pool* pool = pool_of(of);
  if (!pool || attribute != 4) return INVALID_VALUE;
  std::lock_guard<std::mutex> guard(lock);
  return pool->threshold = *(uint64_t*)value, OK;
}
int cuMemPoolTrimTo(void* of, size_t keep) {
  Pool* pool = pool_of(of);
  return pool ? (trim(*pool, keep), demanded(__func__)) : INVALID_VALUE;
}
int cuMemAllocAsync(uintptr_t* address, size_t bytes, void* stream) {
  MAY_FAIL;
  if (!in_context() || !stream || ((Stream*)stream)->device != current || ((Stream*)stream)->recording)
    return INVALID_HANDLE;
  Device& device = devices[current];
  std::lock_guard<std::mutex> guard(lock);
  if (bytes > kMemory - device.pool.used) return OUT_OF_MEMORY;
  *address = (uintptr_t)aligned_alloc(256, (bytes + 255) / 256 * 256);
  memset((void*)*address, 0xff, std::min(bytes, kFilled));
  device.pool.used += device.allocations[*address] = bytes;
  device.pool.reserved = std::max(device.pool.reserved, device.pool.used);
  return OK;
}
int cuMemFreeAsync(uintptr_t address, void* stream) {
  int status = demanded(__func__);
  if (!in_context() || !stream) return INVALID_HANDLE;
  Device& device = devices[current];
  std::lock_guard<std::mutex> guard(lock);
  auto at = device.allocations.find(address);
  if (at == device.allocations.end()) return INVALID_VALUE;
  device.pool.used -= at->second;
  device.allocations.erase(at);
  free((void*)address);
  return status;
}
int cuMemHostRegister_v2(void* pages, size_t bytes, unsigned) {
  MAY_FAIL;
  if ((uintptr_t)pages % 4096 || !bytes) return INVALID_VALUE;
  std::lock_guard<std::mutex> guard(lock);
  return registered[(uintptr_t)pages] = bytes, OK;
}
int cuMemHostRegister(void* pages, size_t bytes, unsigned flags) { return cuMemHostRegister_v2(pages, bytes, flags); }
int cuMemHostUnregister(void* pages) {
  int status = demanded(__func__);
  std::lock_guard<std::mutex> guard(lock);
  return registered.erase((uintptr_t)pages) ? status : INVALID_VALUE;
}
int cuMemHostGetDevicePointer_v2(uintptr_t* address, void* pages, unsigned) {
  MAY_FAIL;
  return *address = (uintptr_t)pages, holds(registered, (uintptr_t)pages, 1) ? OK : INVALID_VALUE;
}
int cuMemsetD8Async(uintptr_t address, unsigned char value, size_t bytes, void* stream) {
  MAY_FAIL;
  if (!has(address, bytes) && !holds(registered, address, bytes)) return INVALID_VALUE;
  return run(stream, [=] {
    memset((void*)address, value, bytes);
    return OK;
  });
}
int cuMemcpyAsync(uintptr_t to, uintptr_t from, size_t bytes, void* stream) {
  MAY_FAIL;
  return has(to, bytes) && has(from, bytes) ? copy(to, from, bytes, stream) : INVALID_VALUE;
}
int cuMemcpyHtoD_v2(uintptr_t to, const void* from, size_t bytes) {
  MAY_FAIL;
  if (!has(to, bytes)) return INVALID_VALUE;
  return memcpy((void*)to, from, bytes), OK;
}
int cuMemcpyDtoH_v2(void* to, uintptr_t from, size_t bytes) {
  MAY_FAIL;
  if (!has(from, bytes)) return INVALID_VALUE;
  return memcpy(to, (void*)from, bytes), OK;
}
int cuMemcpyHtoDAsync_v2(uintptr_t to, const void* from, size_t bytes, void* stream) {
  MAY_FAIL;
  bool known = has(to, bytes) && holds(registered, (uintptr_t)from, bytes);
  return known ? copy(to, (uintptr_t)from, bytes, stream) : INVALID_VALUE;
}
int cuMemcpyDtoHAsync_v2(void* to, uintptr_t from, size_t bytes, void* stream) {
  MAY_FAIL;
  bool known = holds(registered, (uintptr_t)to, bytes) && has(from, bytes);
  return known ? copy((uintptr_t)to, from, bytes, stream) : INVALID_VALUE;
}

// ---- streams, events, graphs ----
int cuStreamCreate(void** stream, unsigned) {
  MAY_FAIL;
  return *stream = new Stream(current), in_context() ? OK : INVALID_CONTEXT;
}
int cuStreamDestroy_v2(void* stream) { return delete (Stream*)stream, demanded(__func__); }
int cuStreamSynchronize(void* stream) {
  MAY_FAIL;
  return stream && !((Stream*)stream)->recording ? synchronized() : INVALID_HANDLE;
}
int cuStreamWaitEvent(void* stream, void* event, unsigned) {
  MAY_FAIL;
  return stream && event ? OK : INVALID_HANDLE;
}
int cuStreamBeginCapture_v2(void* stream, int) {
  MAY_FAIL;
  return stream ? (((Stream*)stream)->recording = new Graph, OK) : INVALID_HANDLE;
}
int cuStreamEndCapture(void* stream, void** graph) {
  Graph* recorded = ((Stream*)stream)->recording;
  ((Stream*)stream)->recording = nullptr;
  *graph = nullptr;
  if (int status = demanded(__func__)) return delete recorded, status;
  return (*graph = recorded) ? OK : INVALID_HANDLE;
}
int cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long) {
  MAY_FAIL;
  return *executable = new Graph(*(Graph*)graph), OK;
}
int cuGraphInstantiate_v2(void** executable, void* graph, void**, char*, size_t) {
  MAY_FAIL;
  return *executable = new Graph(*(Graph*)graph), OK;
}
int cuGraphDestroy(void* graph) { return delete (Graph*)graph, demanded(__func__); }
int cuGraphExecDestroy(void* executable) { return delete (Graph*)executable, demanded(__func__); }
int cuGraphLaunch(void* executable, void* stream) {
  MAY_FAIL;
  if (!executable || !stream) return INVALID_HANDLE;
  for (auto& work : ((Graph*)executable)->work)
    if (int status = work()) return status;
  return OK;
}
int cuEventCreate(void** event, unsigned) {
  MAY_FAIL;
  return *event = new Event, in_context() ? OK : INVALID_CONTEXT;
}
int cuEventDestroy_v2(void* event) { return delete (Event*)event, demanded(__func__); }
int cuEventRecord(void* event, void* stream) {
  MAY_FAIL;
  if (!event || !stream) return INVALID_HANDLE;
  return ((Event*)event)->at = std::chrono::steady_clock::now(), OK;
}
int cuEventSynchronize(void* event) {
  MAY_FAIL;
  return event ? synchronized() : INVALID_HANDLE;
}
int cuEventElapsedTime(float* milliseconds, void* from, void* to) {
  MAY_FAIL;
  *milliseconds = std::chrono::duration<float, std::milli>(((Event*)to)->at - ((Event*)from)->at).count();
  return OK;
}

// ---- kernels ----
int cuModuleLoadData(void** module, const void* fatbin) {
  MAY_FAIL;
  if (*(const uint32_t*)fatbin != 0xba55ed50) return INVALID_VALUE;
  return *module = new Handle, OK;
}
int cuModuleUnload(void* module) { return delete (Handle*)module, demanded(__func__); }
int cuModuleGetFunction(void** function, void*, const char* name) {
  MAY_FAIL;
  if (simt_parameter_bytes(name, 0) <= 0) return NOT_FOUND;
  static std::map<std::string, int> names;
  std::lock_guard<std::mutex> guard(lock);
  return *function = (void*)names.try_emplace(name).first->first.c_str(), OK;
}
int cuFuncSetAttribute(void* function, int attribute, int) {
  MAY_FAIL;
  return function && attribute == 8 ? OK : INVALID_VALUE;
}
int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared_bytes, void* stream, void** parameters, void** extra) {
  MAY_FAIL;
  if (!function || extra) return INVALID_HANDLE;
  if (!played.at("launches")) return OK;
  // Copied, as the driver does: the caller may use the memory again.
  std::vector<std::vector<char>> values;
  for (int i = 0, bytes; (bytes = simt_parameter_bytes((const char*)function, i)) > 0; i++)
    values.emplace_back((char*)parameters[i], (char*)parameters[i] + bytes);
  for (auto& value : values) {
    uintptr_t address = 0;
    if (value.size() == sizeof address) memcpy(&address, value.data(), sizeof address);
    if (address && is_of_another(address)) return ILLEGAL_ADDRESS;
  }
  return run(stream, [=]() mutable {
    std::vector<void*> arguments;
    for (auto& value : values) arguments.push_back(value.data());
    char error[2048] = "";
    if (!simt_launch((const char*)function, gx, gy, gz, bx, by, bz, shared_bytes, arguments.data(), error, sizeof error))
      return (int)OK;
    fprintf(stderr, "%s: %s\n", (const char*)function, error);
    return (int)LAUNCH_FAILED;
  });
}
// The start of CUlaunchConfig; attributes, such as clusters, change nothing here.
struct Configuration {
  unsigned gx, gy, gz, bx, by, bz, shared_bytes;
  void* stream;
};
int cuLaunchKernelEx(const Configuration* c, void* function, void** parameters, void** extra) {
  MAY_FAIL;
  return cuLaunchKernel(function, c->gx, c->gy, c->gz, c->bx, c->by, c->bz, c->shared_bytes, c->stream, parameters, extra);
}
int cuTensorMapEncodeTiled(void* map, int type, uint32_t rank, void* address, const uint64_t* size, const uint64_t* stride,
                           const uint32_t* box, const uint32_t* step, int interleave, int swizzle, int, int) {
  MAY_FAIL;
  if (type != 7 || rank != 2 || step[0] != 1 || step[1] != 1 || interleave || swizzle != 3) return INVALID_VALUE;
  if (is_of_another((uintptr_t)address)) return ILLEGAL_ADDRESS;
  return simt_tensor_map(map, address, size[0], size[1], stride[0], box[0], box[1]) ? INVALID_VALUE : OK;
}
}
