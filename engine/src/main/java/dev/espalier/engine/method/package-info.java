/// The choices that make a pruning method, as values that are read from text and print themselves, and what each
/// [needs][dev.espalier.engine.method.Needs] to know of the samples.
package dev.espalier.engine.method;
