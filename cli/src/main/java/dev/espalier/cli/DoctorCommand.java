package dev.espalier.cli;

import dev.espalier.bindings.CudaDriver;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Device;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/// `espalier doctor`.
@Command(name = "doctor", sortOptions = false, synopsisHeading = "%nUsage: ", customSynopsis = "espalier doctor [OPTION]...", header = "Show what this machine offers and which devices can be used.", description = "%nShows Java, CPU, memory and GPU, and for each device whether Espalier can use it, or why not.%n", footerHeading = "%nExample:%n", footer = {
    "    espalier doctor"})
final class DoctorCommand implements Callable<Integer> {
  @Mixin
  private GlobalOptions global;

  @Override
  public Integer call() {
    Table machine = new Table(2, "espalier", Espalier.version());
    machine.row("java", Machine.java());
    machine.row("system", Machine.system());
    machine.row("cpu", Machine.cpu());
    machine.row("memory", Machine.memory());
    CudaDriver.Probe gpu = CudaDriver.probe();
    machine.row("gpu", gpu.device().orElse("none: " + gpu.problem()));
    machine.lines().forEach(global.out()::println);
    global.out().println();
    Table devices = new Table(3, "device", "usable", "");
    try (Backend backend = Device.REFERENCE.open()) {
      devices.row(Device.REFERENCE.toString(), "yes", backend.description() + "; what --device auto picks");
    }
    devices.row("cpu", "no", "not in this version");
    devices.row("cuda", "no", "not in this version");
    devices.lines().forEach(global.out()::println);
    return 0;
  }
}
