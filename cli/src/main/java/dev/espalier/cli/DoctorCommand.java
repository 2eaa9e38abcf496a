package dev.espalier.cli;

import dev.espalier.bindings.CudaDriver;
import dev.espalier.bindings.NativeCallException;
import dev.espalier.bindings.NativeLibraryException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Device;
import dev.espalier.engine.backend.OutOfBackendMemoryException;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/// `espalier doctor`.
@Command(name = "doctor", sortOptions = false, synopsisHeading = "%nUsage: ",
    customSynopsis = "espalier doctor [OPTION]...",
    header = "Show what this machine offers and which devices can be used.",
    description = "%nShows Java, CPU, memory, GPU and cuBLAS, and for each device whether Espalier can use it, or why not.%n",
    footerHeading = "%nExample:%n", footer = {"    espalier doctor"})
final class DoctorCommand implements Callable<Integer> {
  private static final String AUTO = "what --device auto picks";

  @Mixin
  private GlobalOptions global;

  @Override
  public Integer call() {
    Table machine = new Table(2, "espalier", Espalier.version());
    machine.row("java", Machine.java());
    machine.row("system", Machine.system());
    machine.row("cpu", Machine.cpu());
    machine.row("bfloat16", Machine.bfloat16());
    machine.row("vector api", Machine.vectorApi());
    machine.row("memory", Machine.memory());
    CudaDriver.Probe gpu = CudaDriver.probe();
    machine.row("gpu", gpu.device().orElse("none: " + gpu.problem()));
    Machine.gpuNow(gpu.pciBusId()).ifPresent(now -> machine.row("gpu now", now));
    machine.row("cublas", Machine.cublas());
    machine.lines().forEach(global.out()::println);
    global.out().println();
    Table devices = new Table(3, "device", "usable", "");
    boolean cuda = row(devices, Device.CUDA, AUTO);
    boolean cpu = row(devices, Device.CPU, cuda ? "for machines without a GPU" : AUTO);
    row(devices, Device.REFERENCE, cuda || cpu ? "to check others by" : AUTO);
    devices.lines().forEach(global.out()::println);
    return 0;
  }

  /// @return whether the device can be used
  private static boolean row(Table devices, Device device, String remark) {
    try (Backend backend = device.open()) {
      devices.row(device.toString(), "yes", backend.description() + "; " + remark);
      return true;
    } catch (NativeLibraryException | NativeCallException | IllegalStateException | OutOfBackendMemoryException e) {
      devices.row(device.toString(), "no", e.getMessage());
      return false;
    }
  }
}
