package conformance.rows;

import conformance.Driver;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.io.range.OffsetRange;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.DoFn.UnboundedPerElement;
import org.apache.beam.sdk.transforms.Impulse;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.splittabledofn.RestrictionTracker;
import org.apache.beam.sdk.values.PCollection;

/** Splittable DoFn that takes its time, so that a runner may split what is left of it; each position comes once all the same. */
public final class DynamicSplits implements Driver.Row {
  private static final long POSITIONS = 100;
  /** Long enough to be asked in the middle of a position. */
  private static final long PACE_MS = 30;

  private static void count(RestrictionTracker<OffsetRange, Long> tracker, DoFn.OutputReceiver<String> out) throws InterruptedException {
    for (long position = tracker.currentRestriction().getFrom(); tracker.tryClaim(position); position++) {
      Thread.sleep(PACE_MS);
      out.output(String.valueOf(position));
    }
  }

  private static final class Count extends DoFn<byte[], String> {
    @GetInitialRestriction
    public OffsetRange all() {
      return new OffsetRange(0, POSITIONS);
    }

    @ProcessElement
    public void process(RestrictionTracker<OffsetRange, Long> tracker, OutputReceiver<String> out) throws InterruptedException {
      count(tracker, out);
    }
  }

  @UnboundedPerElement
  private static final class CountOn extends DoFn<byte[], String> {
    @GetInitialRestriction
    public OffsetRange all() {
      return new OffsetRange(0, POSITIONS);
    }

    @ProcessElement
    public ProcessContinuation process(RestrictionTracker<OffsetRange, Long> tracker, OutputReceiver<String> out)
        throws InterruptedException {
      count(tracker, out);
      return ProcessContinuation.stop();
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return pipeline.apply(Impulse.create()).apply(ParDo.of(task.streaming() ? new CountOn() : new Count()));
  }
}
