/// The CUDA kernels, a launcher for each family, and the [GPU][dev.espalier.kernels.Gpu] that they run on. For the
/// modules of Espalier, not for others: it may change without notice.
package dev.espalier.kernels;
