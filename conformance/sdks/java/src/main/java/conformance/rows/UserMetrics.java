package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.metrics.Counter;
import org.apache.beam.sdk.metrics.Distribution;
import org.apache.beam.sdk.metrics.Metrics;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.PCollection;
import org.joda.time.Instant;

/** ParDo with user metrics: a counter of words and a distribution of their lengths. */
public final class UserMetrics implements Driver.Row {
  private static final class Measure extends DoFn<String, String> {
    private final Counter count = Metrics.counter("conformance", "words");
    private final Distribution length = Metrics.distribution("conformance", "length");

    @ProcessElement
    public void process(@Element String line, @Timestamp Instant stamp, OutputReceiver<String> out) {
      for (String word : Lines.words(line)) {
        count.inc();
        length.update(word.length());
      }
      out.output(String.valueOf(Lines.seconds(stamp)));
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return Lines.of(pipeline, task).apply(ParDo.of(new Measure()));
  }
}
