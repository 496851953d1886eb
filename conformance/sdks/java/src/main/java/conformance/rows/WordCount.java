package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Count;
import org.apache.beam.sdk.transforms.FlatMapElements;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptors;

/** WordCount: how often each word occurs. */
public final class WordCount implements Driver.Row {
  static PCollection<String> counts(PCollection<String> lines) {
    return lines
        .apply(FlatMapElements.into(TypeDescriptors.strings()).via(line -> Lines.words(line)))
        .apply(Count.perElement())
        .apply("tell", MapElements.into(TypeDescriptors.strings()).via(count -> count.getKey() + ": " + count.getValue()));
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return counts(Lines.of(pipeline, task));
  }
}
