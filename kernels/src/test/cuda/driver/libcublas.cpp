// Stands in for libcublas over libcuda.cpp: products in plain loops, column-major as cuBLAS has them, in the stream that was
// set: at once, or recorded for a graph. Factors are rounded as the compute type says, sums are double. What is not memory of
// the device, overlaps or comes in no context fails.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

extern "C" {
#include "cublas.h"
}

int stand_in_run(void* stream, std::function<int()> work);
bool stand_in_is_recording(void* stream);
bool stand_in_holds(uintptr_t address, size_t bytes);
bool stand_in_has_context();
int stand_in_demanded(const char* function);
void stand_in_count_handle(int change);

struct cublasContext {
  void* stream = nullptr;
  bool workspace = false;
  int compute_type = CUBLAS_COMPUTE_32F;  // of cublasSgemm
  cublasContext() { stand_in_count_handle(1); }
  ~cublasContext() { stand_in_count_handle(-1); }
};

namespace {
enum { OK = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };

float factor(const void* matrix, size_t index, int type, int compute_type) {
  float value;
  uint32_t bits;
  if (type == CUDA_R_16BF)
    bits = (uint32_t)((const uint16_t*)matrix)[index] << 16;
  else
    memcpy(&bits, (const float*)matrix + index, sizeof bits);
  memcpy(&value, &bits, sizeof value);
  if (compute_type == CUBLAS_COMPUTE_32F_FAST_TF32) bits &= ~0x1fffu;  // cut, as tensor cores do
  if (compute_type == CUBLAS_COMPUTE_32F_FAST_16BF && std::isfinite(value)) bits = (bits + 0x7fff + (bits >> 16 & 1)) & ~0xffffu;
  memcpy(&value, &bits, sizeof bits);
  return value;
}

int demanded(const char* function) { return stand_in_demanded(function) ? EXECUTION_FAILED : OK; }

bool on_device(const void* matrix, int type, int rows, int columns, int leading) {
  return leading >= rows &&
         stand_in_holds((uintptr_t)matrix, ((columns - 1) * (size_t)leading + rows) * (type == CUDA_R_16BF ? 2 : 4));
}
}  // namespace

const char* cublasGetStatusName(int status) {
  switch (status) {
    case NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    default: return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
}
const char* cublasGetStatusString(int) { return "by the stand-in"; }
int cublasGetProperty(int type, int* value) { return *value = type == MAJOR_VERSION ? VERSION : 0, OK; }

int cublasCreate_v2(cublasHandle_t* handle) {
  if (!stand_in_has_context()) return NOT_INITIALIZED;
  if (int status = demanded(__func__)) return status;
  return *handle = new cublasContext, OK;
}
int cublasDestroy_v2(cublasHandle_t handle) {
  if (!handle || !stand_in_has_context()) return NOT_INITIALIZED;
  return delete handle, demanded(__func__);
}
int cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  if (int status = demanded(__func__)) return status;
  handle->stream = stream;
  return handle->workspace = false, OK;
}
int cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t bytes) {
  if ((uintptr_t)workspace % 256 || !stand_in_holds((uintptr_t)workspace, bytes)) return INVALID_VALUE;
  if (int status = demanded(__func__)) return status;
  return handle->workspace = true, OK;
}

int cublasGemmEx(cublasHandle_t handle, int transa, int transb, int m, int n, int k, const void* alpha, const void* a,
                 int atype, int lda, const void* b, int btype, int ldb, const void* beta, void* c, int ctype, int ldc,
                 int compute_type, int algo) {
  if (!handle || !stand_in_has_context()) return NOT_INITIALIZED;
  if (int status = demanded(__func__)) return status;
  if ((atype != CUDA_R_32F && atype != CUDA_R_16BF) || btype != atype || ctype != CUDA_R_32F || algo != CUBLAS_GEMM_DEFAULT)
    return NOT_SUPPORTED;
  if (!on_device(a, atype, transa ? k : m, transa ? m : k, lda) || !on_device(b, btype, transb ? n : k, transb ? k : n, ldb) ||
      !on_device(c, ctype, m, n, ldc))
    return INVALID_VALUE;
  // Without a workspace of the caller's it allocates, which no recording admits.
  if (stand_in_is_recording(handle->stream) && !handle->workspace) return EXECUTION_FAILED;
  const float scale = *(const float*)alpha, before = *(const float*)beta;
  float* out = (float*)c;
  int status = stand_in_run(handle->stream, [=] {
    for (size_t column = 0; column < (size_t)n; column++)
      for (size_t row = 0; row < (size_t)m; row++) {
        double sum = 0;
        for (size_t i = 0; i < (size_t)k; i++)
          sum += (double)factor(a, transa ? i + row * lda : row + i * lda, atype, compute_type) *
                 factor(b, transb ? column + i * ldb : i + column * ldb, btype, compute_type);
        float& element = out[row + column * ldc];
        element = (float)(scale * sum + (before ? (double)before * element : 0));
      }
    return 0;
  });
  return status ? EXECUTION_FAILED : OK;
}

// What JCublas calls beside these.
enum { TF32_TENSOR_OP_MATH = 3 };
extern "C" int cublasSetMathMode(cublasHandle_t handle, int mode) {
  if (int status = demanded(__func__)) return status;
  return handle->compute_type = mode == TF32_TENSOR_OP_MATH ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, OK;
}
extern "C" int cublasSgemm_v2(cublasHandle_t handle, int transa, int transb, int m, int n, int k, const float* alpha,
                              const float* a, int lda, const float* b, int ldb, const float* beta, float* c, int ldc) {
  if (int status = demanded(__func__)) return status;
  return cublasGemmEx(handle, transa, transb, m, n, k, alpha, a, CUDA_R_32F, lda, b, CUDA_R_32F, ldb, beta, c, CUDA_R_32F,
                      ldc, handle->compute_type, CUBLAS_GEMM_DEFAULT);
}
