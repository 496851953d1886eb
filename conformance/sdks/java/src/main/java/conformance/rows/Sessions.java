package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Count;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.joda.time.Duration;

/** WindowInto with sessions: each word's own, with a gap of twenty seconds. */
public final class Sessions implements Driver.Row {
  private static final Duration GAP = Duration.standardSeconds(20);

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return Lines.of(pipeline, task)
        .apply(ParDo.of(new Lines.Said()))
        .apply(Window.<KV<String, Integer>>into(org.apache.beam.sdk.transforms.windowing.Sessions.withGapDuration(GAP)))
        .apply(Count.perKey())
        .apply(ParDo.of(new WindowInto.Tell("")));
  }
}
