/// Training and fine-tuning by labels, networks to begin with, and how well a network does on labelled samples.
package dev.espalier.engine.training;
