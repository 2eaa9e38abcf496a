/// Native libraries as Java sees them: oneDNN, cuBLAS, NVML, and what JCuda lacks of the CUDA driver. Each library is
/// found and loaded when it is first used; a call that fails throws an exception with the library's own status. For the
/// modules of Espalier, not for others: it may change without notice.
package dev.espalier.bindings;
