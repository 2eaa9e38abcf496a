/// The numerical experiments: their data, networks and methods, and the pages that show the results.
package dev.espalier.cli.experiment;
