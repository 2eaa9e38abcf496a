// Stands in for libcublas: multiplies, column-major as cuBLAS does, in host memory, and remembers what it was called with.
#include "../../main/jextract/cublas/cublas.h"
#include <stdio.h>
#include <string.h>

struct cublasContext {
  char open;
};

int in_cublas_lt(void);

static struct cublasContext context;
static char calls[4096];
static int failure;

/* What was called since the last time, a line a call. */
const char *stub_calls(void) {
  static char copy[sizeof calls];
  strcpy(copy, calls);
  calls[0] = 0;
  return copy;
}

/* Lets every later call return this status. */
void stub_fail(int status) { failure = status; }

static int record(const char *format, long long a, long long b) {
  size_t used = strlen(calls);
  snprintf(calls + used, sizeof calls - used, format, a, b);
  return failure;
}

const char *cublasGetStatusName(int status) {
  return status == 13 ? "CUBLAS_STATUS_EXECUTION_FAILED" : status == 1 ? "CUBLAS_STATUS_NOT_INITIALIZED" : "?";
}

const char *cublasGetStatusString(int status) {
  return status == 13 ? "the function failed to launch on the GPU" : status == 1 ? "not initialized" : "?";
}

int cublasGetProperty(int type, int *value) {
  static const int version[] = {12, 8, 4};
  *value = version[type];
  return failure | in_cublas_lt();
}

int cublasCreate_v2(cublasHandle_t *handle) {
  *handle = &context;
  context.open = 1;
  return failure;
}

int cublasDestroy_v2(cublasHandle_t handle) {
  int status = handle == &context && context.open ? failure : 1;
  context.open = 0;
  return record("destroy\n", 0, 0) | status;
}

int cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  return handle == &context ? record("stream %llx\n", (long long)stream, 0) : 1;
}

int cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes) {
  return handle == &context ? record("workspace %llx %lld\n", (long long)workspace, (long long)bytes) : 1;
}

static float at(const void *matrix, int type, int transpose, int leading, long row, long column) {
  long index = transpose == CUBLAS_OP_T ? column + row * leading : row + column * leading;
  if (type == CUDA_R_32F)
    return ((const float *)matrix)[index];
  unsigned bits = (unsigned)((const unsigned short *)matrix)[index] << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

int cublasGemmEx(cublasHandle_t handle, int transa, int transb, int m, int n, int k, const void *alpha, const void *a,
                 int atype, int lda, const void *b, int btype, int ldb, const void *beta, void *c, int ctype, int ldc,
                 int compute_type, int algo) {
  if (handle != &context || (atype != CUDA_R_32F && atype != CUDA_R_16BF) || btype != atype || ctype != CUDA_R_32F ||
      lda < (transa ? k : m) || ldb < (transb ? n : k) || ldc < m)
    return 7;
  for (long row = 0; row < m && !failure; row++) {
    for (long column = 0; column < n; column++) {
      double sum = 0;
      for (long l = 0; l < k; l++)
        sum += (double)at(a, atype, transa, lda, row, l) * at(b, btype, transb, ldb, l, column);
      float *out = (float *)c + row + column * ldc;
      sum *= *(const float *)alpha;
      if (*(const float *)beta != 0)
        sum += (double)*(const float *)beta * *out;
      *out = (float)sum;
    }
  }
  return record("gemm %lld %lld\n", compute_type, algo);
}
