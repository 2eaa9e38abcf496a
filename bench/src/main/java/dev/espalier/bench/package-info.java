/// JMH benchmarks, programs that time a GPU, and the counterparts of the scripts in `peers`.
package dev.espalier.bench;
