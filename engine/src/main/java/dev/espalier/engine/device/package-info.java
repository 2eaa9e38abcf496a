/// The machines that a run can take place on, and what this one has.
package dev.espalier.engine.device;
