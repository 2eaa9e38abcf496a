package dev.espalier.spark;

import java.io.Serializable;

/// Which samples are taken: one of every few, the first of them the last of its group, or all others, as
/// [dev.espalier.engine.data.Dataset#holdOut] divides them. They are numbered by their own order.
///
/// @param every size of a group, at least 1
/// @param others whether one of every group is left out, and not the others
record RowShare(int every, boolean others) implements Serializable {
  static final RowShare ALL = new RowShare(1, false);

  /// How many of the first samples are taken.
  long before(long samples) {
    return others ? samples - samples / every : samples / every;
  }

  /// @param position of a sample among all, from 0
  boolean takes(long position) {
    return (position % every == every - 1) != others;
  }

  /// As single machines call them.
  String name(String all) {
    return every == 1 ? all : "%d in %d samples of %s".formatted(others ? every - 1 : 1, every, all);
  }
}
