/// The backend of a CPU: float32 outside Java's heap, products by oneDNN, and loops over blocks that stay in cache.
package dev.espalier.engine.backend.cpu;
