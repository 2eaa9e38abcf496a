/// Pruning by statistics that an Apache Spark cluster gathers: [dev.espalier.spark.SparkScorer] gathers them,
/// [dev.espalier.spark.SparkPruner] prunes by them. For the class path: Spark's jars are no modules.
package dev.espalier.spark;
