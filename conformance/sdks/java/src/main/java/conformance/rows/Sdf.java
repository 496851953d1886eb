package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import java.util.List;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.io.range.OffsetRange;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.DoFn.UnboundedPerElement;
import org.apache.beam.sdk.transforms.Impulse;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.splittabledofn.ManualWatermarkEstimator;
import org.apache.beam.sdk.transforms.splittabledofn.RestrictionTracker;
import org.apache.beam.sdk.transforms.splittabledofn.WatermarkEstimators;
import org.apache.beam.sdk.values.PCollection;
import org.joda.time.Instant;

/** Splittable DoFn: a file by its lines, split into three at the start; in streaming mode it also defers its rest, again and again. */
public final class Sdf implements Driver.Row {
  /** How many lines are read before the rest is deferred. */
  private static final int TURN = 3;

  private static final class Read extends DoFn<byte[], String> {
    private final String path;

    Read(String path) {
      this.path = path;
    }

    @GetInitialRestriction
    public OffsetRange all() {
      return new OffsetRange(0, Lines.entries(path).size());
    }

    @SplitRestriction
    public void split(@Restriction OffsetRange all, OutputReceiver<OffsetRange> out) {
      all.split((all.getTo() - all.getFrom() + 2) / 3, 1).forEach(out::output);
    }

    @ProcessElement
    public void process(RestrictionTracker<OffsetRange, Long> tracker, OutputReceiver<String> out) {
      List<Lines.Entry> all = Lines.entries(path);
      for (long position = tracker.currentRestriction().getFrom(); tracker.tryClaim(position); position++) {
        out.outputWithTimestamp(all.get((int) position).text, all.get((int) position).stamp);
      }
    }
  }

  @UnboundedPerElement
  private static final class Follow extends DoFn<byte[], String> {
    private final String path;

    Follow(String path) {
      this.path = path;
    }

    @GetInitialRestriction
    public OffsetRange all() {
      return new OffsetRange(0, Lines.entries(path).size());
    }

    @GetInitialWatermarkEstimatorState
    public Instant watermarkState(@Timestamp Instant stamp) {
      return stamp;
    }

    @NewWatermarkEstimator
    public WatermarkEstimators.Manual watermark(@WatermarkEstimatorState Instant state) {
      return new WatermarkEstimators.Manual(state);
    }

    @ProcessElement
    public ProcessContinuation process(
        RestrictionTracker<OffsetRange, Long> tracker, ManualWatermarkEstimator<Instant> watermark, OutputReceiver<String> out) {
      List<Lines.Entry> all = Lines.entries(path);
      long start = tracker.currentRestriction().getFrom();
      for (long position = start; tracker.tryClaim(position); position++) {
        Lines.Entry entry = all.get((int) position);
        watermark.setWatermark(entry.watermark);
        out.outputWithTimestamp(entry.text, entry.stamp);
        if (position - start == TURN - 1) {
          return ProcessContinuation.resume();
        }
      }
      return ProcessContinuation.stop();
    }
  }

  private static final class Tell extends DoFn<String, String> {
    @ProcessElement
    public void process(@Element String line, @Timestamp Instant stamp, OutputReceiver<String> out) {
      out.output(Lines.seconds(stamp) + " " + line);
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return pipeline
        .apply(Impulse.create())
        .apply(ParDo.of(task.streaming() ? new Follow(task.input) : new Read(task.input)))
        .apply(ParDo.of(new Tell()));
  }
}
