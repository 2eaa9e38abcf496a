// Stands in for libcuda: knows one GPU, and remembers what a tensor map, a memory pool and a launch were asked for. Its structures are
// written down anew, with the offsets of CUDA 13's cuda.h, to check those that Java fills in.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static char call[1024];
static const char *failing = "";

/* The last tensor map or launch. */
const char *stub_call(void) { return call; }

/* Lets a function return 999; none if it is empty. */
void stub_fail(const char *function) {
  static char copy[64];
  strncpy(copy, function, sizeof copy - 1);
  failing = copy;
}

#define STATUS (strcmp(failing, __func__) == 0 ? 999 : 0)

int cuInit(unsigned flags) { return flags ? 1 : STATUS; }

int cuDriverGetVersion(int *version) {
  *version = 12080;
  return STATUS;
}

int cuDeviceGetCount(int *count) {
  *count = strcmp(failing, "no GPU") != 0;
  return STATUS;
}

int cuDeviceGet(int *device, int ordinal) {
  *device = 70 + ordinal;
  return STATUS;
}

int cuDeviceGetName(char *name, int length, int device) {
  snprintf(name, length, "NVIDIA Stub %d", device);
  return STATUS;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
  *value = device != 70 ? -1 : attribute == 75 ? 9 : attribute == 76 ? 3 : -1;
  return STATUS;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
  *bytes = device == 70 ? 150754820096 : 0;
  return STATUS;
}

#ifndef OLD
int cuDeviceGetPCIBusId(char *id, int length, int device) {
  snprintf(id, length, "0000:17:00.%d", device - 70);
  return STATUS;
}
#endif

static char pool;
static uint64_t threshold = 4096;

/* What the pool keeps, in KiB; -1 for all. */
int stub_threshold(void) { return threshold == UINT64_MAX ? -1 : (int)(threshold / 1024); }

/* Sets it. */
void stub_keep(int kibibytes) { threshold = (uint64_t)kibibytes * 1024; }

int cuDeviceGetDefaultMemPool(void **out, int device) {
  *out = &pool;
  return device == 70 ? STATUS : 1;
}

int cuMemPoolGetAttribute(void *of, int attribute, void *value) {
  *(uint64_t *)value = attribute == 4 ? threshold : attribute == 5 ? (uint64_t)9 << 33 : attribute == 7 ? 1 << 20 : 0;
  return of == &pool ? STATUS : 1;
}

int cuMemPoolSetAttribute(void *of, int attribute, void *value) {
  if (of != &pool || attribute != 4)
    return 1;
  if (!STATUS)
    threshold = *(uint64_t *)value;
  return STATUS;
}

int cuMemPoolTrimTo(void *of, size_t bytes) {
  snprintf(call, sizeof call, "trim to %zu, keep %d KiB", bytes, stub_threshold());
  return of == &pool ? STATUS : 1;
}

int cuTensorMapEncodeTiled(void *map, int type, uint32_t rank, void *address, const uint64_t *size, const uint64_t *strides,
                           const uint32_t *box, const uint32_t *steps, int interleave, int swizzle, int promotion,
                           int fill) {
  snprintf(call, sizeof call,
           "aligned %d type %d rank %u address %llx size %llu %llu stride %llu box %u %u steps %u %u interleave %d swizzle %d "
           "promotion %d fill %d",
           (uintptr_t)map % 64 == 0, type, rank, (long long)address, (long long)size[0], (long long)size[1],
           (long long)strides[0], box[0], box[1], steps[0], steps[1], interleave, swizzle, promotion, fill);
  memset(map, 0x5a, 128);
  return STATUS;
}

int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared_bytes, void *stream, void **arguments, void **extra) {
  snprintf(call, sizeof call, "function %llx grid %u %u %u block %u %u %u shared %u stream %llx arguments %lld %g extra %d",
           (long long)function, gx, gy, gz, bx, by, bz, shared_bytes, (long long)stream, *(long long *)arguments[0],
           *(float *)arguments[1], extra != NULL);
  return STATUS;
}

struct attribute {
  int id;
  char pad[4];
  uint32_t value[16];
};

struct configuration {
  uint32_t grid[3];
  uint32_t block[3];
  uint32_t shared_bytes;
  void *stream;
  struct attribute *attributes;
  uint32_t count;
};

int cuLaunchKernelEx(const struct configuration *launch, void *function, void **arguments, void **extra) {
  const struct attribute *cluster = launch->attributes;
  snprintf(call, sizeof call,
           "function %llx grid %u %u %u block %u %u %u shared %u stream %llx attributes %u: %d = %u %u %u arguments %lld %g "
           "extra %d",
           (long long)function, launch->grid[0], launch->grid[1], launch->grid[2], launch->block[0], launch->block[1],
           launch->block[2], launch->shared_bytes, (long long)launch->stream, launch->count, cluster->id, cluster->value[0],
           cluster->value[1], cluster->value[2], *(long long *)arguments[0], *(float *)arguments[1], extra != NULL);
  return STATUS;
}
