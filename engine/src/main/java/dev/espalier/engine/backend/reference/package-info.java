/// The backend that defines the right answer: plain loops in double precision on one thread, without libraries.
package dev.espalier.engine.backend.reference;
