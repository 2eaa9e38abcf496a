/// The command line on Spark: `spark-submit --class dev.espalier.spark.cli.EspalierSpark`.
package dev.espalier.spark.cli;
