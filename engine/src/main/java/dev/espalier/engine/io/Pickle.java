package dev.espalier.engine.io;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigInteger;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;

/// Reads Python's pickles, protocols 2 to 5, without running anything: classes and functions are names, and what they
/// would build is a [Call]. Other values become `String`, `Long`, `BigInteger`, `Double`, `Boolean`, `byte[]`, null,
/// `List` (lists, tuples and sets) and `Map` (dictionaries, ordered ones too; keys that are neither strings nor
/// integers are left out).
final class Pickle {
  /// A class or a function.
  record Global(String module, String name) {
    @Override
    public String toString() {
      return module + "." + name;
    }
  }

  /// What a function would return for arguments, or the object that a class would build from them.
  record Call(Object function, Object arguments) {}

  private static final int NEWEST_PROTOCOL = 5;
  /// Of all values together, which take up to about 100 bytes each, whereas an opcode that makes one takes a single byte.
  private static final int MOST_VALUES = 1 << 22;

  private final Path path;
  private final MemorySegment data;
  private final UnaryOperator<Object> persistent;
  private long at;
  private int values;
  private List<Object> stack = new ArrayList<>();
  private final Deque<List<Object>> marked = new ArrayDeque<>();
  private final Map<Long, Object> memo = new HashMap<>();

  /// @param at         where in `data` the first pickle begins
  /// @param persistent what stands for a persistent id
  Pickle(Path path, MemorySegment data, long at, UnaryOperator<Object> persistent) {
    this.path = path;
    this.data = data;
    this.at = at;
    this.persistent = persistent;
  }

  /// The byte behind the last pickle that was read.
  long position() {
    return at;
  }

  /// The next pickle.
  ///
  /// @throws FormatException if it is damaged, has too many values, or needs what is not read
  Object read() throws FormatException {
    stack = new ArrayList<>();
    marked.clear();
    memo.clear();
    for (int opcode = unsigned1(); opcode != '.'; opcode = unsigned1()) {
      if (!plain(opcode) && !container(opcode) && !object(opcode)) {
        throw damaged("opcode 0x%02x is not read".formatted(opcode));
      }
    }
    return pop();
  }

  private boolean plain(int opcode) throws FormatException {
    switch (opcode) {
      case 0x80 -> requireProtocol(unsigned1());
      case 0x95 -> skip(Long.BYTES);
      case 'N' -> push(null);
      case 0x88 -> push(true);
      case 0x89 -> push(false);
      case 'K' -> push((long) unsigned1());
      case 'M' -> push(little(2));
      case 'J' -> push((long) (int) little(4));
      case 0x8a -> push(integer(unsigned1()));
      case 0x8b -> push(integer(little(4)));
      case 'G' -> push(Double.longBitsToDouble(Long.reverseBytes(little(8))));
      case 0x8c -> push(text(unsigned1(), StandardCharsets.UTF_8));
      case 'X' -> push(text(little(4), StandardCharsets.UTF_8));
      case 0x8d -> push(text(little(8), StandardCharsets.UTF_8));
      case 'U' -> push(text(unsigned1(), StandardCharsets.ISO_8859_1));
      case 'T' -> push(text(little(4), StandardCharsets.ISO_8859_1));
      case 'C' -> push(bytes(unsigned1()));
      case 'B' -> push(bytes(little(4)));
      case 0x8e, 0x96 -> push(bytes(little(8)));
      case 'q' -> remember(unsigned1());
      case 'r' -> remember(little(4));
      case 0x94 -> remember(memo.size());
      case 'h' -> push(remembered(unsigned1()));
      case 'j' -> push(remembered(little(4)));
      default -> {
        return false;
      }
    }
    return true;
  }

  private boolean container(int opcode) throws FormatException {
    switch (opcode) {
      case '(' -> {
        count();
        marked.push(stack);
        stack = new ArrayList<>();
      }
      case '0' -> pop();
      case '1' -> popMark();
      case '2' -> push(top());
      case ')', ']', 0x8f -> push(new ArrayList<>());
      case '}' -> push(new LinkedHashMap<>());
      case 't', 'l', 0x91 -> push(popMark());
      case 0x85 -> push(popped(1));
      case 0x86 -> push(popped(2));
      case 0x87 -> push(popped(3));
      case 'd' -> {
        List<Object> items = popMark();
        push(new LinkedHashMap<>());
        put(items);
      }
      case 'a' -> append(popped(1));
      case 'e', 0x90 -> append(popMark());
      case 's' -> put(popped(2));
      case 'u' -> put(popMark());
      default -> {
        return false;
      }
    }
    return true;
  }

  private boolean object(int opcode) throws FormatException {
    switch (opcode) {
      case 'c' -> push(new Global(line(), line()));
      case 0x93 -> {
        List<Object> names = popped(2);
        if (!(names.get(0) instanceof String module) || !(names.get(1) instanceof String name)) {
          throw damaged("a class has a name that is no text");
        }
        push(new Global(module, name));
      }
      case 'R', 0x81 -> {
        List<Object> call = popped(2);
        push(called(call.get(0), call.get(1)));
      }
      case 0x92 -> {
        List<Object> call = popped(3);
        push(new Call(call.get(0), call.get(1)));
      }
      case 'b' -> pop(); // the state of an object
      case 'Q' -> push(persistent.apply(pop()));
      default -> {
        return false;
      }
    }
    return true;
  }

  private static Object called(Object function, Object arguments) {
    boolean isEmpty = arguments instanceof List<?> list && list.isEmpty();
    boolean isDictionary = function instanceof Global(String module, String name) && module.equals("collections")
        && name.equals("OrderedDict");
    return isEmpty && isDictionary ? new LinkedHashMap<>() : new Call(function, arguments);
  }

  private void requireProtocol(int protocol) throws FormatException {
    if (protocol > NEWEST_PROTOCOL) {
      throw damaged("protocol %d is not read".formatted(protocol));
    }
  }

  private void append(List<Object> items) throws FormatException {
    if (top() instanceof List<?>) {
      list(top()).addAll(items);
    }
  }

  @SuppressWarnings("unchecked")
  private static List<Object> list(Object value) {
    return (List<Object>) value;
  }

  @SuppressWarnings("unchecked")
  private static Map<Object, Object> map(Object value) {
    return (Map<Object, Object>) value;
  }

  /// Keys and values in turn.
  private void put(List<Object> items) throws FormatException {
    if (items.size() % 2 != 0) {
      throw damaged("a key has no value");
    }
    for (int i = 0; i < items.size() && top() instanceof Map<?, ?>; i += 2) {
      if (items.get(i) instanceof String || items.get(i) instanceof Long) {
        map(top()).put(items.get(i), items.get(i + 1));
      }
    }
  }

  private void push(Object value) throws FormatException {
    count();
    stack.add(value);
  }

  private void remember(long key) throws FormatException {
    count();
    memo.put(key, top());
  }

  /// Refuses a pickle that takes far more memory than its bytes.
  private void count() throws FormatException {
    values++;
    if (values > MOST_VALUES) {
      throw new FormatException(path,
          "its pickle has more than %d values; save the state dict alone: torch.save(model.state_dict(), FILE)"
              .formatted(MOST_VALUES));
    }
  }

  private Object top() throws FormatException {
    if (stack.isEmpty()) {
      throw damaged("its stack is empty");
    }
    return stack.getLast();
  }

  private Object pop() throws FormatException {
    Object top = top();
    stack.removeLast();
    return top;
  }

  private List<Object> popped(int count) throws FormatException {
    if (stack.size() < count) {
      throw damaged("its stack is empty");
    }
    List<Object> last = stack.subList(stack.size() - count, stack.size());
    List<Object> values = new ArrayList<>(last);
    last.clear();
    return values;
  }

  private List<Object> popMark() throws FormatException {
    if (marked.isEmpty()) {
      throw damaged("a mark is missing");
    }
    List<Object> values = stack;
    stack = marked.pop();
    return values;
  }

  private Object remembered(long key) throws FormatException {
    if (!memo.containsKey(key)) {
      throw damaged("value %d is missing".formatted(key));
    }
    return memo.get(key);
  }

  private Object integer(long count) throws FormatException {
    byte[] bytes = bytes(count);
    byte[] bigEndian = new byte[bytes.length + 1]; // at least one
    for (int i = 0; i < bytes.length; i++) {
      bigEndian[bytes.length - i] = bytes[i];
    }
    bigEndian[0] = (byte) (bytes.length > 0 && bytes[bytes.length - 1] < 0 ? -1 : 0);
    BigInteger value = new BigInteger(bigEndian);
    return value.bitLength() < Long.SIZE ? (Object) value.longValue() : value;
  }

  private int unsigned1() throws FormatException {
    return (int) little(1);
  }

  /// An unsigned integer of up to 8 bytes.
  private long little(int count) throws FormatException {
    long from = skip(count);
    long value = 0;
    for (int i = 0; i < count; i++) {
      value |= Byte.toUnsignedLong(data.get(ValueLayout.JAVA_BYTE, from + i)) << (Byte.SIZE * i);
    }
    return value;
  }

  private String text(long count, Charset charset) throws FormatException {
    return new String(bytes(count), charset);
  }

  private byte[] bytes(long count) throws FormatException {
    long from = skip(count);
    if (count > Integer.MAX_VALUE - 8) {
      throw damaged("a value has %d bytes".formatted(count));
    }
    return data.asSlice(from, count).toArray(ValueLayout.JAVA_BYTE);
  }

  private String line() throws FormatException {
    long from = at;
    while (unsigned1() != '\n') {
      // the end of the line is the end of the name
    }
    long end = at - 1;
    return new String(data.asSlice(from, end - from).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
  }

  /// Where the next `count` bytes begin.
  private long skip(long count) throws FormatException {
    long from = at;
    if (count < 0 || count > data.byteSize() - from) {
      throw damaged("it ends too early");
    }
    at += count;
    return from;
  }

  private FormatException damaged(String reason) {
    return new FormatException(path,
        "its pickle is damaged or not PyTorch's (byte %d: %s); copy it or save it again".formatted(at, reason));
  }
}
