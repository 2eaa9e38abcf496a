/// The backend of an NVIDIA GPU: float32 in device memory, products by cuBLAS where there is one, all else by kernels
/// of its own.
package dev.espalier.engine.backend.cuda;
