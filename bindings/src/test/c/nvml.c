// Stands in for libnvidia-ml: knows one GPU, with figures of its own.
#include "../../main/jextract/nvml/nvml.h"
#include <string.h>

struct nvmlDevice_st {
  int id;
};

static struct nvmlDevice_st gpu;
static int users;
static int power_status;
static int processes;
static int process_status;

/* How many have started it and not shut it down. */
int stub_users(void) { return users; }

/* What the question for the power returns from here on. */
void stub_power_status(int status) { power_status = status; }

/* How many processes use the GPU from here on. */
void stub_processes(int count) { processes = count; }

/* What the questions for processes and for clocks' limits return from here on, if there is room. */
void stub_process_status(int status) { process_status = status; }

const char *nvmlErrorString(int result) { return result == 15 ? "GPU is lost" : "?"; }

int nvmlInit_v2(void) {
  users++;
  return 0;
}

int nvmlShutdown(void) { return --users >= 0 ? 0 : 1; }

int nvmlDeviceGetHandleByPciBusId_v2(const char *pci_bus_id, nvmlDevice_t *device) {
  *device = &gpu;
  return strcmp(pci_bus_id, "0000:17:00.0") == 0 ? 0 : 6;
}

int nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
  memory->total = 150754820096;
  memory->free = 150000000000;
  memory->used = 754820096;
  return device == &gpu ? 0 : 2;
}

int nvmlDeviceGetClockInfo(nvmlDevice_t device, int type, unsigned int *clock) {
  *clock = type == 1 ? 1980 : type == 2 ? 3201 : 0;
  return device == &gpu ? 0 : 2;
}

int nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *power) {
  *power = 76300;
  return device == &gpu ? power_status : 2;
}

int nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned int *temperature) {
  *temperature = sensor == 0 ? 41 : 0;
  return device == &gpu ? 0 : 2;
}

/* Process i has pid 100 + i and i MiB; the first does not tell its memory. */
int nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *infos) {
  unsigned int room = *count;
  *count = processes;
  if (room < (unsigned int)processes) return 7;
  for (int i = 0; i < processes; i++) {
    infos[i].pid = 100 + i;
    infos[i].usedGpuMemory = i ? (unsigned long long)i << 20 : ~0ull;
  }
  return device == &gpu ? process_status : 2;
}

int nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons) {
  *reasons = 0x24 | 1ull << 40;
  return device == &gpu ? process_status : 2;
}
