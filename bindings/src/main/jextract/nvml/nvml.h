// What Java calls of NVML, the management library that comes with NVIDIA's driver. Where NVIDIA's own header has an
// enum, this one has an int and the constants that are used.

typedef struct nvmlDevice_st *nvmlDevice_t;

/* bytes */
typedef struct nvmlMemory_st {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
} nvmlMemory_t;

typedef struct nvmlProcessInfo_st {
  unsigned int pid;
  /* bytes, or all bits set if it is not known */
  unsigned long long usedGpuMemory;
  unsigned int gpuInstanceId;
  unsigned int computeInstanceId;
} nvmlProcessInfo_t;

enum {
  NVML_SUCCESS = 0,
  NVML_ERROR_NOT_SUPPORTED = 3,
  NVML_ERROR_NO_PERMISSION = 4,
  NVML_ERROR_INSUFFICIENT_SIZE = 7
};
enum { NVML_CLOCK_SM = 1, NVML_CLOCK_MEM = 2 };
enum { NVML_TEMPERATURE_GPU = 0 };

const char *nvmlErrorString(int result);
int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetHandleByPciBusId_v2(const char *pci_bus_id, nvmlDevice_t *device);
int nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory);
/* MHz */
int nvmlDeviceGetClockInfo(nvmlDevice_t device, int type, unsigned int *clock);
/* milliwatts */
int nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *power);
/* degrees Celsius */
int nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned int *temperature);
/* Processes with a context; count is of room before, of processes after, also if the room is insufficient. */
int nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *infos);
/* A bit for each reason for a clock below the highest. */
int nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons);
