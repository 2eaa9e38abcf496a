// oneDNN's C API, and the calls by which a thread tells the OpenMP runtime that oneDNN is linked to how many threads
// its products may use.
#include <oneapi/dnnl/dnnl.h>

int omp_get_max_threads(void);
void omp_set_num_threads(int threads);
