/// Several prunings, side by side.
package dev.espalier.engine.experiment;
