package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.hardwood.metadata.LogicalType;
import dev.hardwood.metadata.PhysicalType;
import dev.hardwood.schema.SchemaNode;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/// A column at the top level of a Parquet schema that holds numbers, or lists of them.
///
/// @param type of the numbers
record ParquetColumn(String name, PhysicalType type, boolean isList) {
  /// The columns that make a sample.
  ///
  /// @param names that are asked for; empty: all
  /// @param without the name of one that is none of all
  /// @throws FormatException if one is missing, named twice, or does not hold numbers, or lists stand beside others
  static List<ParquetColumn> choose(Path path, List<SchemaNode> fields, List<String> names, Optional<String> without)
      throws FormatException {
    List<String> known = fields.stream().map(SchemaNode::name).toList();
    if (without.isPresent()) {
      requireKnown(path, without.get(), known);
    }
    List<String> wanted = names.isEmpty()
        ? known.stream().filter(name -> !without.equals(Optional.of(name))).toList()
        : names;
    if (wanted.isEmpty()) {
      throw new FormatException(path, "has one column only; samples need another");
    }
    List<ParquetColumn> columns = new ArrayList<>();
    Set<String> seen = new HashSet<>();
    for (String name : wanted) {
      requireKnown(path, name, known);
      if (!seen.add(name)) {
        throw new FormatException(path, "column %s is named twice".formatted(quote(name)));
      }
      columns.add(of(path, fields.get(known.indexOf(name))));
    }
    Optional<ParquetColumn> list = columns.stream().filter(ParquetColumn::isList).findFirst();
    if (columns.size() > 1 && list.isPresent()) {
      throw new FormatException(path,
          "column %s holds lists, each of which is a whole sample; choose it alone".formatted(quote(list.get().name)));
    }
    return columns;
  }

  private static void requireKnown(Path path, String name, List<String> known) throws FormatException {
    if (!known.contains(name)) {
      throw new FormatException(path, "has no column %s%s".formatted(quote(name), Names.suggestion(name, known)));
    }
  }

  private static ParquetColumn of(Path path, SchemaNode field) throws FormatException {
    return switch (field) {
      case SchemaNode.PrimitiveNode number when isNumber(number) ->
        new ParquetColumn(field.name(), number.type(), false);
      case SchemaNode.GroupNode group when group.isList()
          && group.getListElement() instanceof SchemaNode.PrimitiveNode number && isNumber(number) ->
        new ParquetColumn(field.name(), number.type(), true);
      case SchemaNode.PrimitiveNode other ->
        throw notNumbers(path, field, other.logicalType() == null ? other.type() : other.logicalType());
      case SchemaNode.GroupNode _ -> throw notNumbers(path, field, "a nested type");
    };
  }

  private static FormatException notNumbers(Path path, SchemaNode field, Object type) {
    return new FormatException(path,
        "column %s holds %s, not numbers or lists of them; choose other columns".formatted(quote(field.name()), type));
  }

  private static boolean isNumber(SchemaNode.PrimitiveNode node) {
    return switch (node.type()) {
      case FLOAT, DOUBLE -> true;
      case INT32, INT64 ->
        node.logicalType() == null || (node.logicalType() instanceof LogicalType.IntType whole && whole.isSigned());
      default -> false;
    };
  }
}
