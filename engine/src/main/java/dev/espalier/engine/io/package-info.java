/// Model and data files. What is read is untrusted: headers are checked before anything is allocated or
/// mapped, and every fault is an [java.io.IOException] whose message is one line that says what is wrong,
/// where, and what to do. What is written appears whole or not at all.
package dev.espalier.engine.io;
