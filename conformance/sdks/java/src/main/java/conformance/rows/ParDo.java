package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptors;

/** ParDo: each line becomes its words, at the line's timestamp. */
public final class ParDo implements Driver.Row {
  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return Lines.of(pipeline, task)
        .apply(org.apache.beam.sdk.transforms.ParDo.of(new Lines.Said()))
        .apply(MapElements.into(TypeDescriptors.strings()).via(said -> said.getValue() + " " + said.getKey()));
  }
}
