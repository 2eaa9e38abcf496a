// Stands in for libnvidia-ml: knows the GPU of libcuda.cpp, whose clock falls and whose temperature rises with each question.
#include <atomic>
#include <cstring>

extern "C" {
#include "nvml.h"
}

struct nvmlDevice_st {};

namespace {
constexpr int OK = NVML_SUCCESS, INVALID_ARGUMENT = 2, NOT_FOUND = 6;

nvmlDevice_st gpu;
std::atomic<unsigned> clocks, temperatures, others;
}  // namespace

/// From here on so many processes use the GPU, as in another namespace: of pids from 1 on.
extern "C" void stand_in_others(unsigned count) { others = count; }

const char* nvmlErrorString(int) { return "by the stand-in"; }
int nvmlInit_v2() { return OK; }
int nvmlShutdown() { return OK; }
int nvmlDeviceGetHandleByPciBusId_v2(const char* id, nvmlDevice_t* device) {
  return *device = &gpu, strcmp(id, "0000:00:00.0") ? NOT_FOUND : OK;
}
int nvmlDeviceGetMemoryInfo(nvmlDevice_t, nvmlMemory_t*) { return NVML_ERROR_NOT_SUPPORTED; }
int nvmlDeviceGetClockInfo(nvmlDevice_t, int type, unsigned* clock) {
  if (type == NVML_CLOCK_SM) return *clock = 1980 - 15 * clocks++, OK;
  return *clock = 3201, type == NVML_CLOCK_MEM ? OK : INVALID_ARGUMENT;
}
int nvmlDeviceGetPowerUsage(nvmlDevice_t, unsigned* power) { return *power = 76300, OK; }
int nvmlDeviceGetTemperature(nvmlDevice_t, int sensor, unsigned* temperature) {
  return *temperature = 41 + temperatures++, sensor == NVML_TEMPERATURE_GPU ? OK : INVALID_ARGUMENT;
}
int nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t, unsigned* count, nvmlProcessInfo_t* infos) {
  for (unsigned i = 0; i < others; i++) infos[i] = {i + 1, 3ull << 20, 0, 0};
  return *count = others, OK;
}
int nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t, unsigned long long* reasons) { return *reasons = 4, OK; }
