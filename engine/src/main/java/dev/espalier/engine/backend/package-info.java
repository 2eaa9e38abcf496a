/// What the algorithms are written over: a [dev.espalier.engine.backend.Backend] is memory, a queue of work and a
/// timeline, with the operations of networks, moments, selection and training as facets.
package dev.espalier.engine.backend;
