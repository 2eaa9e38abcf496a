/// The commands of `espalier`, a class each, and the options that several of them share.
package dev.espalier.cli;
