package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Filter;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptors;

/** WordCap: every line in capitals, empty ones left out. */
public final class WordCap implements Driver.Row {
  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return Lines.of(pipeline, task)
        .apply(Filter.by(line -> !line.isEmpty()))
        .apply(MapElements.into(TypeDescriptors.strings()).via(line -> line.toUpperCase()));
  }
}
