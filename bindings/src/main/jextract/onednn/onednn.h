// oneDNN's C API, and the one call by which a thread tells the OpenMP runtime that oneDNN is linked to how many
// threads its products may use.
#include <oneapi/dnnl/dnnl.h>

void omp_set_num_threads(int threads);
