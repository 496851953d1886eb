package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Count;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.FlatMapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptors;

/** Windowed WordCount: how often each word occurs in each minute. */
public final class WindowedWordCount implements Driver.Row {
  private static final class Tell extends DoFn<KV<String, Long>, String> {
    @ProcessElement
    public void process(@Element KV<String, Long> count, BoundedWindow window, OutputReceiver<String> out) {
      out.output(Lines.minute(window) + " " + count.getKey() + ": " + count.getValue());
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return Lines.of(pipeline, task)
        .apply(Lines.perMinute())
        .apply(FlatMapElements.into(TypeDescriptors.strings()).via(line -> Lines.words(line)))
        .apply(Count.perElement())
        .apply(ParDo.of(new Tell()));
  }
}
