package conformance.rows;

import conformance.Driver;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.PCollection;
import org.joda.time.Instant;

/** Impulse: one element, empty, at the beginning of time. */
public final class Impulse implements Driver.Row {
  private static final class Tell extends DoFn<byte[], String> {
    @ProcessElement
    public void process(@Element byte[] element, @Timestamp Instant stamp, OutputReceiver<String> out) {
      out.output(element.length + " bytes at " + stamp.getMillis());
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return pipeline.apply(org.apache.beam.sdk.transforms.Impulse.create()).apply(ParDo.of(new Tell()));
  }
}
