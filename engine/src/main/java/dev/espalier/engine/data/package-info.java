/// Samples and labels: where they come from, and how they are read in batches, checked, and shared out among threads.
package dev.espalier.engine.data;
