package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.transforms.Count;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.windowing.IncompatibleWindowException;
import org.apache.beam.sdk.transforms.windowing.IntervalWindow;
import org.apache.beam.sdk.transforms.windowing.PartitioningWindowFn;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.transforms.windowing.WindowFn;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.joda.time.Instant;

/** WindowInto with a window function of the program's own: each window as long as all before it. */
public final class CustomWindow implements Driver.Row {
  private static final int[] BOUNDS = {0, 15, 30, 60, 120, 240, 480};

  private static final class Doubling extends PartitioningWindowFn<Object, IntervalWindow> {
    @Override
    public IntervalWindow assignWindow(Instant stamp) {
      for (int i = 1; i < BOUNDS.length; i++) {
        if (stamp.getMillis() < 1000L * BOUNDS[i]) {
          return new IntervalWindow(new Instant(1000L * BOUNDS[i - 1]), new Instant(1000L * BOUNDS[i]));
        }
      }
      throw new IllegalArgumentException(stamp + " is behind the last window");
    }

    @Override
    public boolean isCompatible(WindowFn<?, ?> other) {
      return other instanceof Doubling;
    }

    @Override
    public void verifyCompatibility(WindowFn<?, ?> other) throws IncompatibleWindowException {
      if (!isCompatible(other)) {
        throw new IncompatibleWindowException(other, "these windows double");
      }
    }

    @Override
    public Coder<IntervalWindow> windowCoder() {
      return IntervalWindow.getCoder();
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return Lines.of(pipeline, task)
        .apply(ParDo.of(new Lines.Said()))
        .apply(Window.<KV<String, Integer>>into(new Doubling()))
        .apply(Count.perKey())
        .apply(ParDo.of(new WindowInto.Tell("")));
  }
}
